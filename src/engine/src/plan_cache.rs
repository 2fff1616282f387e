//! Plans on disk: built once, and never used for anything else than what they were built for.

use std::env;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::disk::{self, Directory, Found, Lookup, hex};
use crate::error::CacheError;

/// Part of every key: raised when the format or the meaning of entries changes.
const FORMAT: &str = "mdetr plan 3";
const MAGIC: &[u8] = b"mdetr plan 2\n";
const SUFFIX: &str = ".plan";
const LOCK: &str = ".lock";
const TIMINGS_FORMAT: &str = "mdetr timings 1";
const TIMINGS_SUFFIX: &str = ".timings";
/// Bound on the timings of one engine and device.
const MAX_TIMINGS: u64 = 256 << 20;
const CHECKSUM: usize = 32;
/// Bound on an entry's header.
const MAX_HEADER: usize = 1 << 16;
/// Bound on a plan.
const MAX_PLAN: u64 = 4 << 30;
/// How often a process looks whether another has finished a build.
const POLL: Duration = Duration::from_millis(200);

/// Bytes that plans may take unless said otherwise.
pub const DEFAULT_PLAN_CACHE_BYTES: u64 = 8 << 30;

/// Where plans are kept unless another directory is named: `mdetr/plans` in `$XDG_CACHE_HOME`, else in
/// `.cache` of the home directory; `None` if neither is known.
pub fn default_plan_cache_dir() -> Option<PathBuf> {
    let named = |name| {
        let value = env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    Some(caches?.join("mdetr").join("plans"))
}

/// Everything that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanKey {
    /// SHA-256 of the ONNX graph, hexadecimal.
    pub graph: String,
    /// The engine with its version.
    pub engine: String,
    /// The device with its compute capability.
    pub device: String,
    /// Sizes of the inputs.
    pub shapes: String,
    /// How floats are computed.
    pub precision: String,
    /// Bound on the memory of intermediate results; empty: none was set.
    pub workspace: String,
}

impl PlanKey {
    /// The entry's name: a SHA-256, hexadecimal.
    pub fn name(&self) -> String {
        let parts = [
            &self.graph,
            &self.engine,
            &self.device,
            &self.shapes,
            &self.precision,
            &self.workspace,
        ];
        disk::key(FORMAT, &parts.map(String::as_str))
    }
}

/// What stands before a plan.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The graph's file when it was built.
    path: String,
    key: PlanKey,
    /// SHA-256 of the plan.
    sha256: String,
}

/// A plan on disk.
#[derive(Debug)]
pub struct PlanEntry {
    /// Its name in the directory.
    pub name: String,
    /// The graph's file when it was built, and what the plan depends on; `None` if the file is damaged.
    pub built: Option<(String, PlanKey)>,
    /// Size of the file.
    pub bytes: u64,
    /// When it was last used.
    pub used: SystemTime,
}

/// A directory of plans. Several processes may use it at once; they wait for each other rather than
/// build the same plan twice.
#[derive(Debug)]
pub struct PlanCache {
    plans: Directory,
    /// How fast parts of graphs were on a device, from which plans are built faster.
    timings: Directory,
}

/// Where a plan came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It was on disk.
    Disk,
    /// It was built now.
    Built {
        /// A damaged file lay in its place.
        damaged: bool,
    },
}

impl PlanCache {
    /// Makes the directory if need be. Plans above `max_bytes` are removed, the longest unused first.
    ///
    /// # Errors
    /// The directory cannot be made or written.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<PlanCache, CacheError> {
        Ok(PlanCache {
            plans: Directory::open(dir, SUFFIX, max_bytes)?,
            timings: Directory::open(dir, TIMINGS_SUFFIX, MAX_TIMINGS)?,
        })
    }

    /// What is there, the last used first.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn entries(&self) -> io::Result<Vec<PlanEntry>> {
        let mut entries = self.plans.entries()?;
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.used));
        let listed = entries.into_iter().map(|entry| PlanEntry {
            built: header_of(&entry.path)
                .filter(|header| header.key.name() == entry.key)
                .map(|header| (header.path, header.key)),
            name: entry.key,
            bytes: entry.bytes,
            used: entry.used,
        });
        Ok(listed.collect())
    }

    /// Removes all plans and gives how many there were. Those being built stay.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> io::Result<usize> {
        let entries = self.plans.entries()?;
        for entry in &entries {
            disk::remove(&entry.path)?;
            let lock = self.plans.beside(&format!("{}{LOCK}", entry.key));
            if File::open(&lock).is_ok_and(|file| file.try_lock().is_ok()) {
                disk::remove(&lock)?;
            }
        }
        for timings in self.timings.entries()? {
            disk::remove(&timings.path)?;
        }
        Ok(entries.len())
    }

    /// What earlier builds by this engine on this device measured; empty if nothing sound is there.
    pub fn timings(&self, engine: &str, device: &str) -> Vec<u8> {
        let name = disk::key(TIMINGS_FORMAT, &[engine, device]);
        let Found::Bytes(mut bytes) = self.timings.read(&name, MAX_TIMINGS + CHECKSUM as u64)
        else {
            return Vec::new();
        };
        match bytes.split_first_chunk::<CHECKSUM>() {
            Some((sum, timings)) if sum[..] == Sha256::digest(timings)[..] => {
                bytes.drain(..CHECKSUM);
                bytes
            }
            _ => Vec::new(),
        }
    }

    /// Keeps them for the next build, which takes longer if that cannot be.
    pub fn keep_timings(&self, engine: &str, device: &str, timings: &[u8]) {
        if timings.is_empty() || timings.len() as u64 > MAX_TIMINGS {
            return;
        }
        let name = disk::key(TIMINGS_FORMAT, &[engine, device]);
        let _ = self
            .timings
            .write(&name, &[&Sha256::digest(timings)[..], timings]);
    }

    /// The plan for `key`, from disk if a sound one is there, else built by `build` and kept.
    ///
    /// While another process builds the same, `wait` is called now and then; it returns whether to go
    /// on waiting. `not_kept` hears why a plan that was built could not be written: it is used all the
    /// same. `path` is the graph's file.
    ///
    /// # Errors
    /// `None` if `wait` said stop, else what `build` fails with.
    pub fn get_or_build<E>(
        &self,
        path: &str,
        key: &PlanKey,
        mut wait: impl FnMut() -> bool,
        not_kept: impl FnOnce(io::Error),
        build: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<(Vec<u8>, Origin), Option<E>> {
        let name = key.name();
        if let Lookup::Found(plan) = self.get(&name, key) {
            return Ok((plan, Origin::Disk));
        }
        // Without a lock the plan may be built twice, but never half.
        let lock = self.lock(&name);
        if let Ok(lock) = &lock {
            while let Err(TryLockError::WouldBlock) = lock.try_lock() {
                if !wait() {
                    return Err(None);
                }
                std::thread::sleep(POLL);
            }
        }
        let damaged = match self.get(&name, key) {
            Lookup::Found(plan) => return Ok((plan, Origin::Disk)),
            Lookup::Damaged => true,
            Lookup::Missing => false,
        };
        let plan = build().map_err(Some)?;
        let kept = self.put(path, &name, key, &plan);
        drop(lock);
        if let Err(error) = kept {
            not_kept(error);
        }
        Ok((plan, Origin::Built { damaged }))
    }

    /// Writes a plan in the place of one that turned out not to be of use, if that can be.
    #[cfg(feature = "tensorrt")]
    pub(crate) fn replace(&self, path: &str, key: &PlanKey, plan: &[u8]) {
        let name = key.name();
        if self.put(path, &name, key, plan).is_err() {
            let _ = disk::remove(&self.plans.path(&name));
        }
    }

    /// The file whose lock is held while the plan is built. It is left: removing it would let two
    /// processes hold locks of the same name.
    fn lock(&self, name: &str) -> io::Result<File> {
        let path = self.plans.beside(&format!("{name}{LOCK}"));
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
    }

    fn get(&self, name: &str, key: &PlanKey) -> Lookup<Vec<u8>> {
        let limit = MAX_PLAN + (MAGIC.len() + 4 + MAX_HEADER) as u64;
        let decoded = match self.plans.read(name, limit) {
            Found::Bytes(bytes) => decode(bytes, key),
            Found::Missing => return Lookup::Missing,
            Found::Unreadable => None,
        };
        decoded.map_or(Lookup::Damaged, Lookup::Found)
    }

    fn put(&self, path: &str, name: &str, key: &PlanKey, plan: &[u8]) -> io::Result<()> {
        let header = serde_json::to_vec(&Header {
            path: path.to_owned(),
            key: key.clone(),
            sha256: hex(&Sha256::digest(plan)),
        })?;
        let length = u32::try_from(header.len())
            .ok()
            .filter(|&length| length as usize <= MAX_HEADER)
            .ok_or_else(|| io::Error::other("the plan's description is too long"))?;
        self.plans
            .write(name, &[MAGIC, &length.to_le_bytes(), &header, plan])
    }
}

/// The header at the start of a file, and where the plan begins.
pub(crate) fn header(start: &[u8]) -> Option<(Header, usize)> {
    let rest = start.strip_prefix(MAGIC)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_HEADER {
        return None;
    }
    let header = serde_json::from_slice(rest.get(..length)?).ok()?;
    Some((header, MAGIC.len() + 4 + length))
}

fn header_of(path: &Path) -> Option<Header> {
    let limit = (MAGIC.len() + 4 + MAX_HEADER) as u64;
    let mut start = Vec::new();
    File::open(path)
        .ok()?
        .take(limit)
        .read_to_end(&mut start)
        .ok()?;
    Some(header(&start)?.0)
}

/// `None` for anything but a sound entry of this key.
fn decode(mut bytes: Vec<u8>, key: &PlanKey) -> Option<Vec<u8>> {
    let (header, start) = header(&bytes)?;
    let plan = &bytes[start..];
    if header.key != *key || header.sha256 != hex(&Sha256::digest(plan)) {
        return None;
    }
    bytes.drain(..start);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use proptest::prelude::*;

    use super::*;

    const PLAN: &[u8] = b"a plan for one GPU and one TensorRT";

    fn key() -> PlanKey {
        PlanKey {
            graph: "ab".repeat(32),
            engine: "TensorRT 10.3.0".to_owned(),
            device: "Orin 8.7".to_owned(),
            shapes: "image [1, 3, 480, 640]".to_owned(),
            precision: "fp16".to_owned(),
            workspace: String::new(),
        }
    }

    fn open(dir: &tempfile::TempDir) -> PlanCache {
        PlanCache::open(dir.path(), 1 << 20).unwrap()
    }

    fn get(cache: &PlanCache, key: &PlanKey) -> (Vec<u8>, Origin) {
        let build = || Ok::<_, ()>(PLAN.to_vec());
        let kept = |error| panic!("not kept: {error}");
        cache
            .get_or_build("vision.onnx", key, || true, kept, build)
            .unwrap()
    }

    #[test]
    fn a_plan_is_built_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        let built = Origin::Built { damaged: false };
        assert_eq!(get(&cache, &key()), (PLAN.to_vec(), built));
        assert_eq!(get(&cache, &key()), (PLAN.to_vec(), Origin::Disk));
        assert_eq!(get(&open(&dir), &key()), (PLAN.to_vec(), Origin::Disk));
        let entries = cache.entries().unwrap();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].built, Some(("vision.onnx".to_owned(), key())));
        assert_eq!(cache.clear().unwrap(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        assert_eq!(get(&cache, &key()).1, built);
    }

    #[test]
    fn whatever_changes_makes_another_plan() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        get(&cache, &key());
        let changes: [fn(&mut PlanKey); 7] = [
            |k| k.graph = "cd".repeat(32),
            |k| k.engine = "TensorRT 10.3.1".to_owned(),
            |k| k.device = "Orin Nano 8.7".to_owned(),
            |k| k.shapes = "image [1, 3, 480, 641]".to_owned(),
            |k| k.precision = "fp32".to_owned(),
            |k| k.workspace = "1048576 bytes".to_owned(),
            |k| (k.shapes, k.precision) = (k.shapes.clone() + "fp", "16".to_owned()),
        ];
        for change in changes {
            let mut other = key();
            change(&mut other);
            assert_ne!(other.name(), key().name());
            assert_eq!(get(&cache, &other).1, Origin::Built { damaged: false });
        }
    }

    #[test]
    fn timings_are_kept_by_engine_and_device() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        let timings = |engine, device| open(&dir).timings(engine, device);
        assert!(timings("TensorRT 10.3.0", "Orin").is_empty());
        cache.keep_timings("TensorRT 10.3.0", "Orin", b"a kernel: 3 us");
        assert_eq!(timings("TensorRT 10.3.0", "Orin"), b"a kernel: 3 us");
        assert!(timings("TensorRT 10.3.1", "Orin").is_empty());
        assert!(timings("TensorRT 10.3.0", "Xavier").is_empty());
        assert!(cache.entries().unwrap().is_empty(), "they are no plans");
        let file = cache.timings.entries().unwrap().remove(0).path;
        let sound = fs::read(&file).unwrap();
        for bytes in [&sound[..sound.len() - 1], &sound[..20], b""] {
            fs::write(&file, bytes).unwrap();
            assert!(timings("TensorRT 10.3.0", "Orin").is_empty());
        }
        cache.keep_timings("TensorRT 10.3.0", "Orin", b"a kernel: 4 us");
        assert_eq!(timings("TensorRT 10.3.0", "Orin"), b"a kernel: 4 us");
        cache.clear().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn damaged_and_foreign_plans_are_built_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        get(&cache, &key());
        let path = cache.plans.path(&key().name());
        let sound = fs::read(&path).unwrap();
        let mut other = key();
        other.device = "another GPU".to_owned();
        get(&cache, &other);
        let foreign = fs::read(cache.plans.path(&other.name())).unwrap();
        let cut = sound[..sound.len() - 1].to_vec();
        for bytes in [
            cut,
            foreign,
            Vec::new(),
            b"mdetr plan 2\n\xff\xff\xff\xff".to_vec(),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(get(&cache, &key()).1, Origin::Built { damaged: true });
            assert_eq!(fs::read(&path).unwrap(), sound);
        }
        for byte in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[byte] ^= 1;
            assert!(
                decode(bytes, &key()).is_none_or(|plan| plan == PLAN),
                "byte {byte}"
            );
        }
    }

    #[test]
    fn what_fails_or_is_interrupted_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        let failed = cache.get_or_build("x", &key(), || true, |_| {}, || Err("no"));
        assert_eq!(failed, Err(Some("no")));
        let lock = cache.lock(&key().name()).unwrap();
        lock.lock().unwrap();
        let stopped = cache.get_or_build("x", &key(), || false, |_| {}, || Ok::<_, ()>(vec![]));
        assert_eq!(stopped, Err(None));
        drop(lock);
        assert!(cache.entries().unwrap().is_empty());
        assert_eq!(get(&cache, &key()).1, Origin::Built { damaged: false });
    }

    #[test]
    fn those_who_want_the_same_wait() {
        let dir = tempfile::tempdir().unwrap();
        let built = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let build = || {
                        built.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(50));
                        Ok::<_, ()>(PLAN.to_vec())
                    };
                    let cache = open(&dir);
                    let found = cache.get_or_build("x", &key(), || true, |_| {}, build);
                    assert_eq!(found.unwrap().0, PLAN);
                });
            }
        });
        assert_eq!(built.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_plan_that_cannot_be_kept_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        // A directory in the entry's place: nothing can be renamed onto it.
        fs::create_dir_all(cache.plans.path(&key().name()).join("x")).unwrap();
        let mut reason = None;
        let found = cache.get_or_build(
            "x",
            &key(),
            || true,
            |error| reason = Some(error),
            || Ok::<_, ()>(PLAN.to_vec()),
        );
        assert_eq!(found.unwrap().0, PLAN);
        assert!(reason.is_some());
    }

    proptest! {
        #[test]
        fn random_files_are_never_trusted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(decode(bytes.clone(), &key()), None);
            let mut bytes = bytes;
            bytes.splice(0..0, MAGIC.iter().copied());
            prop_assert_eq!(decode(bytes, &key()), None);
        }
    }
}
