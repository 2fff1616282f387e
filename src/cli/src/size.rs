//! Sizes of pictures, as options give them.

/// Width and height of "WIDTHxHEIGHT"; `None` of anything else.
pub fn parse(text: &str) -> Option<(u32, u32)> {
    let (width, height) = text.split_once(['x', 'X'])?;
    Some((width.trim().parse().ok()?, height.trim().parse().ok()?))
}
