//! What those who wait are told.

/// Is told what happens.
pub trait Watch {
    /// Something worth a line.
    fn say(&self, line: &str);
    /// Something that takes long begins: what, the bytes that are done already, and all of them, if known.
    fn begin(&self, what: &str, done: u64, total: Option<u64>);
    /// So many bytes are done.
    fn at(&self, done: u64);
    /// What began last is over, well or not.
    fn end(&self);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Watch for Silent {
    fn say(&self, _: &str) {}
    fn begin(&self, _: &str, _: u64, _: Option<u64>) {}
    fn at(&self, _: u64) {}
    fn end(&self) {}
}
