//! Polygons on a pixel grid, by the rule of Pillow's `ImageDraw.polygon` with fill and outline.

/// A row-major binary mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canvas {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// 0 or 1 per pixel.
    pub pixels: Vec<u8>,
}

impl Canvas {
    /// All zeros.
    pub fn new(width: u32, height: u32) -> Canvas {
        Canvas {
            width,
            height,
            pixels: vec![0; width as usize * height as usize],
        }
    }

    /// Number of ones.
    pub fn area(&self) -> u64 {
        self.pixels.iter().map(|&p| u64::from(p)).sum()
    }

    /// Paints columns `first` to `last`, both included, of a row; what is outside is left out.
    fn paint(&mut self, row: i32, first: i64, last: i64) {
        let (width, height) = (self.width as usize, self.height as usize);
        let Some(row) = usize::try_from(row).ok().filter(|&row| row < height) else {
            return;
        };
        let first = first.clamp(0, width as i64) as usize;
        let end = (last + 1).clamp(0, width as i64) as usize;
        if first < end {
            self.pixels[row * width + first..row * width + end].fill(1);
        }
    }
}

/// An edge that is not horizontal.
struct Edge {
    top: i32,
    bottom: i32,
    /// Where the edge begins.
    x: i32,
    y: i32,
    /// Change of x per row.
    slope: f32,
}

impl Edge {
    fn at(&self, row: i32) -> f32 {
        (i64::from(row) - i64::from(self.y)) as f32 * self.slope + self.x as f32
    }

    fn ends_at(&self, row: i32) -> bool {
        row == self.top || row == self.bottom
    }

    fn covers(&self, row: i32) -> bool {
        (self.top..=self.bottom).contains(&row)
    }
}

/// Fills a closed polygon, its boundary included, by the even-odd rule.
///
/// Vertices are `[x, y]`, truncated to integers. Each row is filled between pairs of crossings of
/// its centre line with the edges, rounded to the nearest pixel, halves inward; horizontal edges
/// are painted whole. A corner that is flatter than a pixel a row is stretched to the crossings of
/// the next row, so that it stays connected.
pub fn fill_polygon(canvas: &mut Canvas, vertices: &[[f64; 2]]) {
    let vertices: Vec<[i32; 2]> = vertices.iter().map(|v| v.map(|c| c as i32)).collect();
    let mut edges = Vec::new();
    let mut last_row = 0;
    for (i, &[x0, y0]) in vertices.iter().enumerate() {
        let [x1, y1] = vertices[(i + 1) % vertices.len()];
        last_row = last_row.max(y0);
        if y0 == y1 {
            canvas.paint(y0, i64::from(x0.min(x1)), i64::from(x0.max(x1)));
            continue;
        }
        let (dx, dy) = (i64::from(x1) - i64::from(x0), i64::from(y1) - i64::from(y0));
        edges.push(Edge {
            top: y0.min(y1),
            bottom: y0.max(y1),
            x: x0,
            y: y0,
            slope: dx as f32 / dy as f32,
        });
    }
    let first = edges.iter().map(|edge| edge.top).min().unwrap_or(0).max(0);
    for row in first..=last_row.min(canvas.height as i32 - 1) {
        let mut crossings = crossings(&edges, row, last_row);
        crossings.sort_by(f32::total_cmp);
        for pair in crossings.chunks_exact(2) {
            canvas.paint(row, half_up(pair[0]), half_down(pair[1]));
        }
    }
}

/// Where the centre line of a row crosses edges. An edge's lower end counts twice, unless it is
/// in the polygon's last row, so that a corner between two edges counts an even number of times
/// where the boundary turns back, and an odd number where it goes on.
fn crossings(edges: &[Edge], row: i32, last_row: i32) -> Vec<f32> {
    let mut crossings = Vec::new();
    for (i, edge) in edges
        .iter()
        .enumerate()
        .filter(|(_, edge)| edge.covers(row))
    {
        let x = edge.at(row);
        if row == edge.bottom && row < last_row {
            crossings.extend([x, x]);
        } else if edge.ends_at(row) && edge.slope != 0.0 {
            crossings.push(stretched_corner(edge, &edges[..i], row));
        } else {
            crossings.push(x);
        }
    }
    crossings
}

/// The end of `edge` in `row`, moved to within a pixel of the next row's crossings if the first of
/// `others` that shares the corner leaves it to the same side.
fn stretched_corner(edge: &Edge, others: &[Edge], row: i32) -> f32 {
    let x = edge.at(row);
    let next = if row == edge.bottom { row - 1 } else { row + 1 };
    let joins = |other: &&Edge| {
        other.ends_at(row)
            && other.slope != 0.0
            && other.at(row).round() == x.round()
            && other.covers(next)
    };
    let Some(other) = others.iter().find(joins) else {
        return x;
    };
    let (a, b) = (edge.at(next), other.at(next));
    if x > a.max(b) + 1.0 {
        a.max(b).round() + 1.0
    } else if x < a.min(b) - 1.0 {
        a.min(b).round() - 1.0
    } else {
        x
    }
}

/// Nearest integer, halves away from zero.
fn half_up(x: f32) -> i64 {
    if x >= 0.0 {
        (x + 0.5).floor() as i64
    } else {
        -(f64::from(-x) + 0.5).floor() as i64
    }
}

/// Nearest integer, halves towards zero.
fn half_down(x: f32) -> i64 {
    if x >= 0.0 {
        (x - 0.5).ceil() as i64
    } else {
        -(f64::from(-x) - 0.5).ceil() as i64
    }
}
