//! Entropy-coded data of a JPEG, as codes and bits.

/// Longest code.
const LONGEST: u8 = 16;

/// A table of codes.
pub struct Code {
    /// For any 16 bits, the length of the code that they begin with, 0 for none, and its symbol.
    entries: Box<[(u8, u8)]>,
}

/// Why there are no more bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// The file ends.
    File,
    /// A marker comes.
    Marker,
    /// The next bits are no code.
    NoCode,
}

impl Code {
    /// Reads a table of a segment DHT, behind its selector: how many codes each length has, then the
    /// symbols. Gives what follows it; `None` if there can be no such table.
    pub fn read(table: &[u8]) -> Option<(Code, &[u8])> {
        let (counts, rest) = table.split_first_chunk::<{ LONGEST as usize }>()?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let mut entries = vec![(0, 0); 1 << LONGEST].into_boxed_slice();
        let mut symbols = symbols.iter();
        let mut next = 0;
        for (length, &count) in (1..=LONGEST).zip(counts) {
            for &symbol in symbols.by_ref().take(count.into()) {
                let end = next + (1 << (LONGEST - length));
                entries.get_mut(next..end)?.fill((length, symbol));
                next = end;
            }
        }
        Some((Code { entries }, rest))
    }
}

/// The bits of one scan.
pub struct Bits<'a> {
    file: &'a [u8],
    position: usize,
    /// The next `count` bits, from the highest on; zeros behind them.
    buffer: u64,
    count: u8,
}

impl Bits<'_> {
    /// Those that begin at a position of the file.
    pub fn new(file: &[u8], position: usize) -> Bits<'_> {
        Bits {
            file,
            position,
            buffer: 0,
            count: 0,
        }
    }

    /// Where the bits that are not yet needed begin; at a marker or the file's end, if there are none.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The symbol of the next code.
    pub fn symbol(&mut self, code: &Code) -> Result<u8, Stop> {
        self.fill();
        let (length, symbol) = code.entries[(self.buffer >> (64 - LONGEST)) as usize];
        // Codes that are only made of the zeros behind the last bit do not count.
        match length {
            0 if self.count >= LONGEST => Err(Stop::NoCode),
            0 => Err(self.end()),
            _ => self.take(length).map(|_| symbol),
        }
    }

    /// The next bits, at most 16, as a number.
    pub fn read(&mut self, count: u8) -> Result<u16, Stop> {
        self.fill();
        self.take(count)
    }

    /// Goes on behind the next restart marker.
    pub fn restart(&mut self) -> Result<(), Stop> {
        (self.buffer, self.count) = (0, 0);
        loop {
            let rest = self.file.get(self.position..).unwrap_or_default();
            let at = rest.iter().position(|&byte| byte == 0xff);
            let Some(at) = at else {
                self.position = self.file.len();
                return Err(Stop::File);
            };
            match rest.get(at + 1) {
                None => {
                    self.position = self.file.len();
                    return Err(Stop::File);
                }
                Some(0) => self.position += at + 2,
                Some(0xff) => self.position += at + 1,
                Some(0xd0..=0xd7) => {
                    self.position += at + 2;
                    return Ok(());
                }
                Some(_) => {
                    self.position += at;
                    return Err(Stop::Marker);
                }
            }
        }
    }

    fn take(&mut self, count: u8) -> Result<u16, Stop> {
        if count == 0 {
            return Ok(0);
        }
        if count > self.count {
            return Err(self.end());
        }
        let bits = self.buffer >> (64 - count);
        self.buffer <<= count;
        self.count -= count;
        Ok(bits as u16)
    }

    fn fill(&mut self) {
        while self.count <= 56 {
            let byte = match self.file.get(self.position..) {
                Some([0xff, 0, ..]) => {
                    self.position += 2;
                    0xff
                }
                Some([0xff, ..]) | None | Some([]) => return,
                Some([byte, ..]) => {
                    self.position += 1;
                    *byte
                }
            };
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// Why the bits end where they do.
    fn end(&self) -> Stop {
        // Bytes 0xff fill the space before a marker.
        let rest = self.file.get(self.position..).unwrap_or_default();
        match rest.iter().any(|&byte| byte != 0xff) {
            true => Stop::Marker,
            false => Stop::File,
        }
    }
}
