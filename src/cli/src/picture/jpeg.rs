//! Whether a JPEG file holds all of its picture (ITU-T T.81).
//!
//! Decoders fill in what is missing, zune-jpeg and libjpeg too, and do not tell a caller where: a cut
//! photo becomes one with a gray part, in which nothing is found. So the entropy-coded data are
//! followed here, block by block and without computing pixels, to the end-of-image marker that belongs
//! to the picture. What lies behind it, such as the video of a motion photo, is not looked at.

use std::fmt;

use super::huffman::{Bits, Code, Stop};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It ends before its end-of-image marker.
    Cut(Place),
    /// Data of a scan end at a marker though blocks are missing.
    Short(Place),
    /// Bits of a scan are no code.
    Damaged(Place),
    /// A header there contradicts itself.
    Header(Place),
    /// It is lossless, hierarchical or coded arithmetically.
    Process,
}

/// A place in a scan, or between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the scan, from 1; 0 before the first.
    scan: usize,
    /// Units of it that are whole, and all of them; none of a scan that was read to its end.
    units: Option<(usize, usize)>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Cut(place) => write!(f, "the JPEG is cut short: the file ends {place}"),
            Fault::Short(place) => {
                write!(f, "the JPEG is cut short or damaged: its data end {place}")
            }
            Fault::Process => f.write_str(
                "the JPEG is lossless, hierarchical or coded arithmetically, which cannot be read: save it \
                 anew as baseline or progressive JPEG, or as PNG",
            ),
            Fault::Damaged(place) => write!(f, "the JPEG is damaged: there is no code {place}"),
            Fault::Header(place) => {
                write!(
                    f,
                    "the JPEG is cut short or damaged: a header makes no sense {place}"
                )
            }
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { scan, units } = self;
        match units {
            Some((done, all)) => write!(f, "after {done} of {all} blocks of scan {scan}"),
            None if *scan == 0 => f.write_str("before the picture begins"),
            None => write!(f, "after scan {scan}, before an end-of-image marker"),
        }
    }
}

mod marker {
    pub const SOI: u8 = 0xd8;
    pub const EOI: u8 = 0xd9;
    pub const SOS: u8 = 0xda;
    pub const DRI: u8 = 0xdd;
    pub const DHT: u8 = 0xc4;
    pub const TEM: u8 = 0x01;
    pub const BASELINE: u8 = 0xc0;
    pub const PROGRESSIVE: u8 = 0xc2;
    /// Frames of other processes: lossless, hierarchical, with arithmetic coding.
    pub const OTHER_FRAMES: [u8; 10] = [0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf];

    pub fn is_restart(marker: u8) -> bool {
        (0xd0..=0xd7).contains(&marker)
    }
}

/// Most scans that are followed; zune-jpeg refuses more.
const MAX_SCANS: usize = 100;

/// Checks a file. Files that the decoder refuses pass: those with a side of 0 or above `max_side`, without
/// a picture, or with more than [`MAX_SCANS`] scans.
///
/// # Errors
/// Something of the picture is missing or makes no sense, or it is of a process that is not read.
pub fn check(file: &[u8], max_side: u32) -> Result<(), Fault> {
    let mut reader = Reader {
        file,
        position: 2,
        scans: 0,
        restart_interval: 0,
        dc: [const { None }; 4],
        ac: [const { None }; 4],
        frame: None,
    };
    match reader.run(max_side) {
        Ok(()) | Err(Halt::ForTheDecoder) => Ok(()),
        Err(Halt::Fault(fault)) => Err(fault),
    }
}

/// Why reading stops before the end-of-image marker.
enum Halt {
    Fault(Fault),
    ForTheDecoder,
}

struct Component {
    id: u8,
    /// Blocks of an interleaved unit, across and down.
    across: usize,
    down: usize,
    /// Blocks that cover the picture.
    columns: usize,
    rows: usize,
    /// Blocks in a row with those that fill the last interleaved unit.
    stride: usize,
    /// One bit per coefficient that is not 0, of each block; empty unless progressive scans need it.
    nonzero: Vec<u64>,
    seen: bool,
}

struct Frame {
    progressive: bool,
    components: Vec<Component>,
    /// Interleaved units, across and down.
    units: (usize, usize),
}

/// What a scan's header says.
struct Scan {
    /// Index of the component, of its DC and of its AC table.
    components: Vec<(usize, usize, usize)>,
    /// First and last coefficient in zigzag order.
    band: (usize, usize),
    /// Whether bits are added to coefficients that an earlier scan began.
    refines: bool,
}

struct Reader<'a> {
    file: &'a [u8],
    position: usize,
    scans: usize,
    restart_interval: usize,
    dc: [Option<Code>; 4],
    ac: [Option<Code>; 4],
    frame: Option<Frame>,
}

impl<'a> Reader<'a> {
    fn run(&mut self, max_side: u32) -> Result<(), Halt> {
        loop {
            match self.marker()? {
                marker::EOI => return self.finish(),
                marker::SOI | marker::TEM => {}
                restart if marker::is_restart(restart) => {}
                marker::SOS => {
                    let header = self.segment()?;
                    self.scan(header)?;
                }
                marker::DHT => self.tables()?,
                marker::DRI => {
                    let segment = self.segment()?;
                    let interval = segment.first_chunk().ok_or_else(|| self.senseless())?;
                    self.restart_interval = u16::from_be_bytes(*interval).into();
                }
                start @ marker::BASELINE..=marker::PROGRESSIVE => {
                    let segment = self.segment()?;
                    let progressive = start == marker::PROGRESSIVE;
                    let frame = Frame::new(segment, progressive, max_side);
                    let frame = frame.ok_or_else(|| self.senseless())?;
                    self.frame = Some(frame.ok_or(Halt::ForTheDecoder)?);
                }
                other if marker::OTHER_FRAMES.contains(&other) => {
                    return Err(Halt::Fault(Fault::Process));
                }
                _ => {
                    self.segment()?;
                }
            }
        }
    }

    /// At the end-of-image marker: each component must have come.
    fn finish(&self) -> Result<(), Halt> {
        let frame = self.frame.as_ref().ok_or(Halt::ForTheDecoder)?;
        if frame.components.iter().all(|component| component.seen) {
            return Ok(());
        }
        Err(Halt::Fault(Fault::Short(self.between())))
    }

    fn between(&self) -> Place {
        Place {
            scan: self.scans,
            units: None,
        }
    }

    fn cut(&self) -> Halt {
        Halt::Fault(Fault::Cut(self.between()))
    }

    fn senseless(&self) -> Halt {
        Halt::Fault(Fault::Header(self.between()))
    }

    /// The next marker; bytes before it are passed over, as decoders do.
    fn marker(&mut self) -> Result<u8, Halt> {
        loop {
            let rest = self.file.get(self.position..).unwrap_or_default();
            let at = rest.iter().position(|&byte| byte == 0xff);
            let at = at.ok_or_else(|| self.cut())?;
            let code = rest[at..].iter().position(|&byte| byte != 0xff);
            let code = at + code.ok_or_else(|| self.cut())?;
            self.position += code + 1;
            if rest[code] != 0 {
                return Ok(rest[code]);
            }
        }
    }

    /// The segment at the position, without its length.
    fn segment(&mut self) -> Result<&'a [u8], Halt> {
        let rest = self.file.get(self.position..).unwrap_or_default();
        let length = rest.first_chunk().ok_or_else(|| self.cut())?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length < 2 {
            return Err(self.senseless());
        }
        let segment = rest.get(2..length).ok_or_else(|| self.cut())?;
        self.position += length;
        Ok(segment)
    }

    fn tables(&mut self) -> Result<(), Halt> {
        let mut rest = self.segment()?;
        while let Some((&selector, table)) = rest.split_first() {
            let (code, after) = Code::read(table).ok_or_else(|| self.senseless())?;
            let senseless = self.senseless();
            let tables = match selector >> 4 {
                0 => &mut self.dc,
                _ => &mut self.ac,
            };
            let place = tables.get_mut(usize::from(selector & 15));
            *place.ok_or(senseless)? = Some(code);
            rest = after;
        }
        Ok(())
    }

    fn scan(&mut self, header: &[u8]) -> Result<(), Halt> {
        let senseless = self.senseless();
        let frame = self.frame.as_mut().ok_or(Halt::ForTheDecoder)?;
        let scan = Scan::read(header, frame).ok_or(senseless)?;
        self.scans += 1;
        if self.scans > MAX_SCANS {
            return Err(Halt::ForTheDecoder);
        }
        for &(component, dc, ac) in &scan.components {
            frame.components[component].seen = true;
            // Motion JPEG leaves out the tables that everyone knows.
            let needs_dc = scan.band.0 == 0 && !scan.refines;
            let needs_ac = scan.band.1 > 0;
            if needs_dc && self.dc[dc].is_none() || needs_ac && self.ac[ac].is_none() {
                return Ok(());
            }
        }
        let mut bits = Bits::new(self.file, self.position);
        let tables = (&self.dc, &self.ac);
        let (done, all, result) = frame.follow(&scan, &mut bits, tables, self.restart_interval);
        self.position = bits.position();
        let place = Place {
            scan: self.scans,
            units: Some((done, all)),
        };
        result.map_err(|stop| {
            Halt::Fault(match stop {
                Stop::File => Fault::Cut(place),
                Stop::Marker => Fault::Short(place),
                Stop::NoCode => Fault::Damaged(place),
            })
        })
    }
}

impl Scan {
    fn read(header: &[u8], frame: &Frame) -> Option<Scan> {
        let (&count, rest) = header.split_first()?;
        let (selectors, rest) = rest.split_at_checked(2 * usize::from(count))?;
        let components: Vec<(usize, usize, usize)> = selectors
            .chunks_exact(2)
            .map(|selector| {
                let component = frame.components.iter().position(|c| c.id == selector[0])?;
                let (dc, ac) = (selector[1] >> 4, selector[1] & 15);
                (dc < 4 && ac < 4).then_some((component, dc.into(), ac.into()))
            })
            .collect::<Option<_>>()?;
        let [first, last, approximation] = *rest.first_chunk::<3>()?;
        let scan = Scan {
            band: match frame.progressive {
                true => (first.into(), last.into()),
                false => (0, 63),
            },
            refines: frame.progressive && approximation >> 4 > 0,
            components,
        };
        let (first, last) = scan.band;
        let several = scan.components.len() > 1;
        // Progressive scans have DC coefficients only, or AC coefficients of one component.
        let possible = !frame.progressive || (first == 0 && last == 0) || (first > 0 && !several);
        (possible && first <= last && last < 64 && (1..=4).contains(&count)).then_some(scan)
    }
}

impl Frame {
    /// `None` if the header makes no sense, nothing inside if a side is 0 or too large.
    fn new(segment: &[u8], progressive: bool, max_side: u32) -> Option<Option<Frame>> {
        let header = segment.first_chunk::<6>()?;
        let [_, h0, h1, w0, w1, count] = *header;
        let height = usize::from(u16::from_be_bytes([h0, h1]));
        let width = usize::from(u16::from_be_bytes([w0, w1]));
        let sides = 1..=max_side as usize;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Some(None);
        }
        let entries = segment[6..].chunks_exact(3);
        let possible = (1..=4).contains(&count)
            && entries.len() >= usize::from(count)
            && entries.clone().all(|entry| {
                let factors = 1..=4;
                factors.contains(&(entry[1] >> 4)) && factors.contains(&(entry[1] & 15))
            });
        if !possible {
            return None;
        }
        let entries: Vec<&[u8]> = entries.take(count.into()).collect();
        let factors = |entry: &[u8]| (usize::from(entry[1] >> 4), usize::from(entry[1] & 15));
        let most_across = entries.iter().map(|e| factors(e).0).max().unwrap_or(1);
        let most_down = entries.iter().map(|e| factors(e).1).max().unwrap_or(1);
        let units = (
            width.div_ceil(8 * most_across),
            height.div_ceil(8 * most_down),
        );
        let components = entries.iter().map(|entry| {
            let (across, down) = factors(entry);
            Component {
                id: entry[0],
                across,
                down,
                columns: (width * across).div_ceil(8 * most_across),
                rows: (height * down).div_ceil(8 * most_down),
                stride: units.0 * across,
                nonzero: Vec::new(),
                seen: false,
            }
        });
        Some(Some(Frame {
            progressive,
            components: components.collect(),
            units,
        }))
    }

    /// Follows a scan. Gives the units that are whole, all of them, and why it ended early.
    fn follow(
        &mut self,
        scan: &Scan,
        bits: &mut Bits,
        (dc, ac): (&[Option<Code>; 4], &[Option<Code>; 4]),
        restart_interval: usize,
    ) -> (usize, usize, Result<(), Stop>) {
        let single = match scan.components[..] {
            [(component, ..)] => Some(component),
            _ => None,
        };
        let (across, down) = match single {
            Some(only) => (self.components[only].columns, self.components[only].rows),
            None => self.units,
        };
        if self.progressive && scan.band.0 > 0 {
            let component = &mut self.components[scan.components[0].0];
            let blocks = component.stride * self.units.1 * component.down;
            component.nonzero.resize(blocks, 0);
        }
        let all = across * down;
        let mut end_of_band_run = 0;
        for unit in 0..all {
            if restart_interval > 0 && unit > 0 && unit % restart_interval == 0 {
                if let Err(stop) = bits.restart() {
                    return (unit, all, Err(stop));
                }
                end_of_band_run = 0;
            }
            for &(index, dc_table, ac_table) in &scan.components {
                let component = &mut self.components[index];
                let blocks = match single {
                    Some(_) => 1,
                    None => component.across * component.down,
                };
                let tables = (dc[dc_table].as_ref(), ac[ac_table].as_ref());
                for _ in 0..blocks {
                    let result = if !self.progressive {
                        sequential(bits, tables)
                    } else if scan.band.0 == 0 {
                        progressive_dc(bits, tables.0, scan.refines)
                    } else {
                        let at = unit / across * component.stride + unit % across;
                        let nonzero = &mut component.nonzero[at];
                        let run = &mut end_of_band_run;
                        progressive_ac(bits, tables.1, scan, nonzero, run)
                    };
                    if let Err(stop) = result {
                        return (unit, all, Err(stop));
                    }
                }
            }
        }
        (all, all, Ok(()))
    }
}

/// A block of a sequential scan.
fn sequential(bits: &mut Bits, (dc, ac): (Option<&Code>, Option<&Code>)) -> Result<(), Stop> {
    progressive_dc(bits, dc, false)?;
    let ac = ac.ok_or(Stop::NoCode)?;
    let mut k = 1;
    while k < 64 {
        let symbol = bits.symbol(ac)?;
        let (run, size) = (usize::from(symbol >> 4), symbol & 15);
        match (run, size) {
            (15, 0) => k += 16,
            (_, 0) => return Ok(()),
            _ => {
                bits.read(size)?;
                k += run + 1;
            }
        }
    }
    Ok(())
}

fn progressive_dc(bits: &mut Bits, table: Option<&Code>, refines: bool) -> Result<(), Stop> {
    if refines {
        return bits.read(1).map(drop);
    }
    match bits.symbol(table.ok_or(Stop::NoCode)?)? {
        size @ 0..=16 => bits.read(size).map(drop),
        _ => Err(Stop::NoCode),
    }
}

/// A block of a scan of AC coefficients. `nonzero` says which were not 0, and is kept up to date;
/// `run` counts the blocks that have no further coefficients in this scan.
fn progressive_ac(
    bits: &mut Bits,
    table: Option<&Code>,
    scan: &Scan,
    nonzero: &mut u64,
    run: &mut u32,
) -> Result<(), Stop> {
    let table = table.ok_or(Stop::NoCode)?;
    let (mut k, last) = scan.band;
    while *run == 0 && k <= last {
        let symbol = bits.symbol(table)?;
        let (zeros, size) = (usize::from(symbol >> 4), symbol & 15);
        if size == 0 && zeros < 15 {
            *run = (1 << zeros) + u32::from(bits.read(zeros as u8)?);
            break;
        }
        // A refined coefficient has a sign only.
        bits.read(if scan.refines { size.min(1) } else { size })?;
        k = skip(bits, scan.refines, *nonzero, k, last, zeros)?;
        if size > 0 && k <= last {
            *nonzero |= 1 << k;
        }
        k += 1;
    }
    if *run > 0 {
        if scan.refines {
            let begun = *nonzero >> k << (63 + k - last);
            for _ in 0..begun.count_ones() {
                bits.read(1)?;
            }
        }
        *run -= 1;
    }
    Ok(())
}

/// Where the coefficient behind so many zeros is. A refining scan has a bit for each coefficient passed
/// that was not 0.
fn skip(
    bits: &mut Bits,
    refines: bool,
    nonzero: u64,
    mut k: usize,
    last: usize,
    mut zeros: usize,
) -> Result<usize, Stop> {
    if !refines {
        return Ok(k + zeros);
    }
    while k <= last {
        if nonzero >> k & 1 == 1 {
            bits.read(1)?;
        } else if zeros == 0 {
            break;
        } else {
            zeros -= 1;
        }
        k += 1;
    }
    Ok(k)
}
