//! Names of cameras, sites, groups.

/// Most characters of a name.
pub(super) const MAX_NAME: usize = 64;

/// Whether a text can be a name, which becomes part of paths and topics.
pub fn is_name(name: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(known)
}
