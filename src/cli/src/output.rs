//! Files that the command writes. None replaces a file that the same part of the command did not write.

use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use png::{BitDepth, ColorType, Compression, Filter};

/// Keyword of the text chunk that says which part of the command wrote a PNG.
const KEYWORD: &str = "Software";
/// Directories whose files stand for open files and devices.
const OPEN_FILES: [&str; 2] = ["/dev", "/proc"];
/// What is read of a file to see who wrote it.
const HEAD: u64 = 1 << 20;

/// The part of the command that writes a PNG, as the file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    Detect,
    #[cfg(feature = "eval")]
    Failures,
    Sheet,
    #[cfg(feature = "eval")]
    Show,
    #[cfg(feature = "eval")]
    Video,
}

impl Author {
    fn software(self) -> &'static str {
        match self {
            Author::Detect => "mdetr detect --annotate",
            #[cfg(feature = "eval")]
            Author::Failures => "mdetr eval --failures",
            Author::Sheet => "mdetr sheet",
            #[cfg(feature = "eval")]
            Author::Show => "mdetr scenes show",
            #[cfg(feature = "eval")]
            Author::Video => "mdetr scenes video",
        }
    }
}

/// What is in the way of a file that is to be written.
#[derive(Debug, PartialEq, Eq)]
enum There {
    Nothing,
    /// A pipe, a device or an open file: it is written to, not replaced.
    Special,
    /// An empty file.
    Empty,
    /// A file that may be ours.
    File,
    /// A directory, or a link that leads nowhere.
    Other,
}

fn there(path: &Path) -> io::Result<There> {
    if OPEN_FILES.iter().any(|dir| path.starts_with(dir)) {
        return Ok(There::Special);
    }
    if let Err(error) = path.symlink_metadata() {
        return match error.kind() {
            io::ErrorKind::NotFound => Ok(There::Nothing),
            _ => Err(error),
        };
    }
    Ok(match fs::metadata(path) {
        Ok(data) if data.is_file() && data.len() == 0 => There::Empty,
        Ok(data) if data.is_file() => There::File,
        Ok(data) if !data.is_dir() => There::Special,
        _ => There::Other,
    })
}

/// Refuses to replace a file, unless `is_ours` says that it may be.
fn ensure_replaceable(path: &Path, is_ours: impl FnOnce(File) -> bool) -> Result<There> {
    let found = there(path).with_context(|| cannot_write(path))?;
    match found {
        There::Nothing | There::Special | There::Empty => return Ok(found),
        There::File if File::open(path).is_ok_and(is_ours) => return Ok(found),
        There::File | There::Other => {}
    }
    bail!(
        "{}: exists, and is not from an earlier run of this command: name another, or remove it",
        path.display()
    )
}

fn cannot_write(path: &Path) -> String {
    format!("{}: cannot be written", path.display())
}

/// Writes a line to standard output, as `println!` does, which panics where nobody reads on.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::output::line(format_args!($($text)*))
    };
}
pub(crate) use say;

/// Writes a line to standard output, if it is read; ends the program where it cannot be written.
pub fn line(text: fmt::Arguments) {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("mdetr: cannot write standard output: {error}");
            std::process::exit(1);
        }
        _ => (),
    }
}

/// Opens a file to be written from its beginning.
///
/// # Errors
/// It cannot be made, or there is a file that `is_ours` does not know, by its open file.
pub fn create(path: &Path, is_ours: impl FnOnce(File) -> bool) -> Result<File> {
    let mut options = OpenOptions::new();
    match ensure_replaceable(path, is_ours)? {
        There::Nothing => options.write(true).create_new(true),
        There::Special => options.write(true),
        _ => options.write(true).truncate(true),
    };
    options.open(path).with_context(|| cannot_write(path))
}

/// Writes a file.
///
/// # Errors
/// As [`create`].
pub fn write(path: &Path, bytes: &[u8], is_ours: impl FnOnce(File) -> bool) -> Result<()> {
    let mut file = create(path, is_ours)?;
    file.write_all(bytes).with_context(|| cannot_write(path))
}

/// Writes a file that is not there yet.
///
/// # Errors
/// As [`create`].
#[cfg(any(test, feature = "eval", feature = "past"))]
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    write(path, bytes, |_| false)
}

/// Refuses a PNG's place if a file is there that this author did not write.
///
/// # Errors
/// There is one.
pub fn ensure_png_replaceable(path: &Path, author: Author) -> Result<()> {
    ensure_replaceable(path, |file| is_png_of(file, author)).map(drop)
}

/// Writes packed RGB as PNG, whole or not at all, with its author.
///
/// # Errors
/// It cannot be written, or there is a file that this author did not write.
pub fn write_png(path: &Path, author: Author, size: (u32, u32), rgb: &[u8]) -> Result<()> {
    write_encoded(path, author, encode(author, size, ColorType::Rgb, rgb))
}

/// Writes one value of 16 bits for each pixel as PNG, as [`write_png`] does.
///
/// # Errors
/// As [`write_png`].
#[cfg(feature = "eval")]
pub fn write_gray16_png(
    path: &Path,
    author: Author,
    size: (u32, u32),
    values: &[u16],
) -> Result<()> {
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    write_encoded(
        path,
        author,
        encode(author, size, ColorType::Grayscale, &bytes),
    )
}

fn write_encoded(path: &Path, author: Author, encoded: Result<Vec<u8>>) -> Result<()> {
    let encoded = encoded.with_context(|| cannot_write(path))?;
    match ensure_replaceable(path, |file| is_png_of(file, author))? {
        There::Special => {
            let file = OpenOptions::new().write(true).open(path);
            file.and_then(|mut file| file.write_all(&encoded))
        }
        found => write_whole(path, &found, &encoded),
    }
    .with_context(|| cannot_write(path))
}

fn write_whole(path: &Path, found: &There, bytes: &[u8]) -> io::Result<()> {
    // The file that a link leads to is replaced, not the link.
    let target = match found {
        There::Nothing => path.to_owned(),
        _ => path.canonicalize()?,
    };
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".mdetr-")
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(dir.unwrap_or(Path::new(".")))?;
    file.write_all(bytes)?;
    match found {
        There::Nothing => file.persist_noclobber(target)?,
        _ => file.persist(target)?,
    };
    Ok(())
}

/// RGB has 8 bits a channel, gray 16.
fn encode(
    author: Author,
    (width, height): (u32, u32),
    color: ColorType,
    pixels: &[u8],
) -> Result<Vec<u8>> {
    let mut encoded = Vec::new();
    let mut encoder = png::Encoder::new(&mut encoded, width, height);
    encoder.set_color(color);
    encoder.set_depth(match color {
        ColorType::Grayscale => BitDepth::Sixteen,
        _ => BitDepth::Eight,
    });
    encoder.set_compression(Compression::Fast);
    encoder.set_filter(Filter::Adaptive);
    encoder.add_text_chunk(KEYWORD.to_owned(), author.software().to_owned())?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(encoded)
}

/// Whether this author wrote a PNG.
fn is_png_of(file: File, author: Author) -> bool {
    let Ok(png) = png::Decoder::new(BufReader::new(file)).read_info() else {
        return false;
    };
    let texts = &png.info().uncompressed_latin1_text;
    texts
        .iter()
        .any(|text| text.keyword == KEYWORD && text.text == author.software())
}

/// The first line of a file, without its end.
pub fn first_line(file: File) -> Vec<u8> {
    let mut line = Vec::new();
    let read = BufReader::new(file.take(HEAD)).read_until(b'\n', &mut line);
    match read {
        Ok(_) => line.trim_ascii_end().to_owned(),
        // A file that cannot be read has no line that is known.
        Err(_) => Vec::new(),
    }
}

/// Names for pictures made of others, in a directory: each has a name of its own, and none is that of
/// a picture they are made of.
#[derive(Debug)]
pub struct Beside {
    dir: PathBuf,
    names: Vec<PathBuf>,
}

impl Beside {
    /// Makes the directory if need be. `option` is how errors name it.
    ///
    /// # Errors
    /// The directory cannot be made, or a name belongs to a file that this author did not write.
    pub fn new(option: &str, dir: &Path, sources: &[PathBuf], author: Author) -> Result<Beside> {
        let shown = dir.display();
        fs::create_dir_all(dir)
            .with_context(|| format!("{option} {shown}: the directory cannot be created"))?;
        let beside = Beside {
            dir: dir.to_owned(),
            names: names(sources),
        };
        let sources: std::collections::HashSet<PathBuf> = sources
            .iter()
            .filter_map(|path| path.canonicalize().ok())
            .collect();
        let is_free = |path: &PathBuf| {
            let is_source = path
                .canonicalize()
                .is_ok_and(|path| sources.contains(&path));
            !is_source && ensure_png_replaceable(path, author).is_ok()
        };
        let paths = (0..beside.names.len()).map(|index| beside.path(index));
        let taken: Vec<PathBuf> = paths.filter(|path| !is_free(path)).collect();
        ensure!(
            taken.is_empty(),
            "{option} {shown}: {} files there have names of pictures to be written, and are not from \
             an earlier run, such as {}: name another directory",
            taken.len(),
            taken[0].display()
        );
        Ok(beside)
    }

    /// Where the picture of the source with this index goes.
    pub fn path(&self, index: usize) -> PathBuf {
        self.dir.join(&self.names[index])
    }
}

/// `photo.png` of `shots/photo.jpg`; `photo-2.png` of the next that has this name, and so on.
fn names(sources: &[PathBuf]) -> Vec<PathBuf> {
    let mut taken = std::collections::HashSet::new();
    let name = |source: &PathBuf| {
        let stem = match crate::picture::is_standard_input(source) {
            true => OsStr::new("stdin"),
            false => source.file_stem().unwrap_or(OsStr::new("picture")),
        };
        let mut numbered = (1..).map(|n| {
            let mut name = stem.to_owned();
            if n > 1 {
                name.push(format!("-{n}"));
            }
            name.push(".png");
            name
        });
        let free = numbered.find(|name| taken.insert(name.clone()));
        PathBuf::from(free.expect("there are more numbers than pictures"))
    };
    sources.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    const SIZE: (u32, u32) = (2, 1);
    const RGB: [u8; 6] = [1, 2, 3, 4, 5, 6];

    #[test]
    fn pngs_replace_those_of_their_author_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.png");
        let write = |path: &Path, author| write_png(path, author, SIZE, &RGB);
        write(&path, Author::Sheet).unwrap();
        assert_eq!(image::open(&path).unwrap().into_rgb8().into_raw(), RGB);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o400, 0o400);
        write(&path, Author::Sheet).unwrap();
        let refused = write(&path, Author::Detect).unwrap_err().to_string();
        assert!(refused.contains("a.png: exists"), "{refused}");

        let photo = dir.path().join("photo.png");
        image::RgbImage::new(3, 3).save(&photo).unwrap();
        let link = dir.path().join("link.png");
        symlink(&photo, &link).unwrap();
        let nowhere = dir.path().join("nowhere.png");
        symlink("missing", &nowhere).unwrap();
        let text = dir.path().join("text.png");
        fs::write(&text, "my notes").unwrap();
        let folder = dir.path().join("folder.png");
        fs::create_dir(&folder).unwrap();
        for kept in [&photo, &link, &nowhere, &text, &folder] {
            let refused = write(kept, Author::Detect).unwrap_err().to_string();
            assert!(refused.contains("exists"), "{refused}");
        }
        assert_eq!(image::open(&photo).unwrap().width(), 3);
        assert_eq!(fs::read(&text).unwrap(), b"my notes");
        assert!(nowhere.is_symlink());

        let empty = dir.path().join("empty.png");
        fs::write(&empty, "").unwrap();
        write(&empty, Author::Detect).unwrap();
        let own = dir.path().join("own.png");
        symlink(&empty, &own).unwrap();
        write(&own, Author::Detect).unwrap();
        assert!(own.is_symlink());
        write(Path::new("/dev/null"), Author::Detect).unwrap();
        let left: Vec<_> = fs::read_dir(dir.path()).unwrap().collect();
        assert_eq!(left.len(), 8, "no temporary file is left: {left:?}");
    }

    #[test]
    fn other_files_are_replaced_where_they_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.txt");
        write_new(&path, b"ours 1\n").unwrap();
        assert!(write_new(&path, b"2").is_err());
        let is_ours = |file| first_line(file).starts_with(b"ours");
        drop(create(&path, is_ours).unwrap());
        write_new(&path, b"3").unwrap();
        assert!(create(&path, is_ours).is_err());
        assert_eq!(fs::read(&path).unwrap(), b"3");
        let error = write_new(&dir.path().join("no/a.txt"), b"").unwrap_err();
        assert!(error.to_string().contains("cannot be written"), "{error}");
    }

    #[test]
    fn each_source_has_a_name_of_its_own() {
        let bytes = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
        let sources = [
            b"x/a.jpg",
            b"y/a.png",
            b"a-2.png",
            &b"caf\xe9.png"[..],
            b"-",
            b"z/a.png",
        ];
        let expected = [
            &b"a.png"[..],
            b"a-2.png",
            b"a-2-2.png",
            b"caf\xe9.png",
            b"stdin.png",
            b"a-3.png",
        ];
        assert_eq!(names(&sources.map(bytes)), expected.map(bytes));
    }

    #[test]
    fn sources_are_kept_whatever_the_directory_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let photos = dir.path().join("photos");
        fs::create_dir(&photos).unwrap();
        // Its own picture of an earlier run is a source here.
        let source = photos.join("a.png");
        write_png(&source, Author::Detect, SIZE, &RGB).unwrap();
        symlink(&photos, dir.path().join("link")).unwrap();
        for out in ["photos", "link", "photos/../photos/."] {
            let sources = [source.clone()];
            let refused = Beside::new("--out", &dir.path().join(out), &sources, Author::Detect);
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains("name another directory"), "{refused}");
        }
        let elsewhere = dir.path().join("new/out");
        let beside = Beside::new("--out", &elsewhere, &[source], Author::Detect).unwrap();
        assert_eq!(beside.path(0), elsewhere.join("a.png"));
    }
}
