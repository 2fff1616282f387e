//! Text memories on disk: one safetensors file each, named by what it was computed from.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use mdetr_engine::CacheError;
use mdetr_engine::disk::{self, Directory, Found, Lookup, hex};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

/// Part of every key: raised when the format or the meaning of entries changes.
const FORMAT: &str = "mdetr text memory 1";
const TENSOR: &str = "text_memory";
const CHECKSUM: &str = "sha256";
const KEY: &str = "key";
const TEXT: &str = "text";
const SUFFIX: &str = ".safetensors";

/// Bound on an entry's header: the text is in it.
const MAX_HEADER: u64 = 1 << 18;

/// Name of the entry for `text` under a text graph and a tokenizer, given by their SHA-256.
pub(super) fn key(text_graph: &str, tokenizer: &str, text: &str) -> String {
    disk::key(FORMAT, &[text_graph, tokenizer, text])
}

/// A directory that several processes may use at once.
#[derive(Debug)]
pub(super) struct DiskCache(Directory);

impl DiskCache {
    /// Makes the directory if need be, and makes sure that it can be written.
    pub(super) fn open(dir: &Path, max_bytes: u64) -> Result<DiskCache, CacheError> {
        Directory::open(dir, SUFFIX, max_bytes).map(DiskCache)
    }

    /// The entry's values if it is sound and has this shape. Marks it as used.
    pub(super) fn get(&self, key: &str, text: &str, shape: [usize; 2]) -> Lookup<Vec<f32>> {
        let values = (shape[0] * shape[1]) as u64;
        let decoded = match self.0.read(key, MAX_HEADER + 4 * values) {
            Found::Bytes(bytes) => decode(&bytes, key, text, shape),
            Found::Missing => return Lookup::Missing,
            Found::Unreadable => None,
        };
        decoded.map_or(Lookup::Damaged, Lookup::Found)
    }

    /// Writes an entry as a whole or not at all, then removes the longest unused ones above the bound.
    pub(super) fn put(
        &self,
        key: &str,
        text: &str,
        shape: [usize; 2],
        data: &[f32],
    ) -> io::Result<()> {
        let bytes = encode(key, text, shape, data).map_err(io::Error::other)?;
        self.0.write(key, &[&bytes])
    }
}

fn encode(
    key: &str,
    text: &str,
    shape: [usize; 2],
    data: &[f32],
) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
    let metadata = HashMap::from([
        (KEY.to_owned(), key.to_owned()),
        (TEXT.to_owned(), text.to_owned()),
        (CHECKSUM.to_owned(), hex(&Sha256::digest(&bytes))),
    ]);
    let view = TensorView::new(Dtype::F32, vec![1, shape[0], shape[1]], &bytes)?;
    safetensors::serialize([(TENSOR, view)], Some(metadata))
}

/// `None` for anything but a sound entry of this key, text and shape.
pub(crate) fn decode(bytes: &[u8], key: &str, text: &str, shape: [usize; 2]) -> Option<Vec<f32>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let metadata = header.metadata().as_ref()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let tensor = tensors.tensor(TENSOR).ok()?;
    let sound = metadata.get(KEY)? == key
        && metadata.get(TEXT)? == text
        && *metadata.get(CHECKSUM)? == hex(&Sha256::digest(tensor.data()))
        && tensor.dtype() == Dtype::F32
        && tensor.shape() == [1, shape[0], shape[1]];
    let values: Vec<f32> = tensor
        .data()
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        .collect();
    (sound && values.iter().all(|value| value.is_finite())).then_some(values)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::time::{Duration, SystemTime};

    use proptest::prelude::*;

    use super::*;

    const CUBE: &str = "a cube";
    const SHAPE: [usize; 2] = [3, 2];
    const DATA: [f32; 6] = [0.5, -1.0, 2.0, 3.25, 0.0, 1e-6];

    fn open(dir: &tempfile::TempDir) -> DiskCache {
        DiskCache::open(dir.path(), 1 << 20).unwrap()
    }

    fn stored() -> (tempfile::TempDir, DiskCache, String) {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        let key = key("graph", "tokenizer", CUBE);
        cache.put(&key, CUBE, SHAPE, &DATA).unwrap();
        (dir, cache, key)
    }

    #[test]
    fn entries_come_back_after_a_restart() {
        let (dir, cache, key) = stored();
        assert_eq!(cache.get(&key, CUBE, SHAPE), Lookup::Found(DATA.to_vec()));
        assert_eq!(
            open(&dir).get(&key, CUBE, SHAPE),
            Lookup::Found(DATA.to_vec())
        );
        assert_eq!(
            cache.get(&super::key("graph", "tokenizer", "a ball"), "a ball", SHAPE),
            Lookup::Missing
        );
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 1, "temporary files are left");
    }

    #[test]
    fn keys_depend_on_each_part() {
        let keys = [
            key("graph", "tokenizer", CUBE),
            key("graph2", "tokenizer", CUBE),
            key("graph", "tokenizer2", CUBE),
            key("graph", "tokenizer", "a cubes"),
            key("grapht", "okenizer", CUBE),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(key.len() == 64 && !keys[..index].contains(key));
        }
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let key = key("graph", "tokenizer", CUBE);
        let sound = encode(&key, CUBE, SHAPE, &DATA).unwrap();
        assert_eq!(decode(&sound, &key, CUBE, SHAPE), Some(DATA.to_vec()));
        for bit in 0..8 * sound.len() {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            if let Some(data) = decode(&bytes, &key, CUBE, SHAPE) {
                assert_eq!(data, DATA);
                assert_eq!(
                    sound[bit / 8],
                    b' ',
                    "bit {bit} is not of the header's padding"
                );
            }
        }
    }

    #[test]
    fn entries_of_another_key_or_shape_are_refused() {
        let (_dir, cache, key) = stored();
        assert_eq!(cache.get(&key, CUBE, [2, 3]), Lookup::Damaged);
        assert_eq!(cache.get(&key, CUBE, [1, 6]), Lookup::Damaged);
        let other = super::key("graph", "tokenizer", "a ball");
        fs::copy(cache.0.path(&key), cache.0.path(&other)).unwrap();
        assert_eq!(cache.get(&other, CUBE, SHAPE), Lookup::Damaged);
    }

    #[test]
    fn numbers_that_are_none_are_refused() {
        let (_dir, cache, key) = stored();
        let data = [f32::NAN; 6];
        cache.put(&key, CUBE, SHAPE, &data).unwrap();
        assert_eq!(cache.get(&key, CUBE, SHAPE), Lookup::Damaged);
    }

    #[test]
    fn huge_files_are_not_read() {
        let (_dir, cache, key) = stored();
        File::create(cache.0.path(&key))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        assert_eq!(cache.get(&key, CUBE, SHAPE), Lookup::Damaged);
    }

    #[test]
    fn the_longest_unused_goes_first_and_other_files_stay() {
        let dir = tempfile::tempdir().unwrap();
        let cache = open(&dir);
        let keys: Vec<String> = (0..4).map(|i| key("g", "t", &i.to_string())).collect();
        for (index, key) in keys[..3].iter().enumerate() {
            cache.put(key, CUBE, SHAPE, &DATA).unwrap();
            let used = SystemTime::now() - Duration::from_secs(100 - index as u64);
            File::open(cache.0.path(key))
                .unwrap()
                .set_modified(used)
                .unwrap();
        }
        fs::write(dir.path().join("notes.txt"), "mine").unwrap();
        assert!(
            matches!(cache.get(&keys[0], CUBE, SHAPE), Lookup::Found(_)),
            "now the last used"
        );
        let bytes = fs::metadata(cache.0.path(&keys[0])).unwrap().len();
        let cache = DiskCache::open(dir.path(), 2 * bytes + bytes / 2).unwrap();
        cache.put(&keys[3], CUBE, SHAPE, &DATA).unwrap();
        let left: Vec<bool> = keys.iter().map(|key| cache.0.path(key).exists()).collect();
        assert_eq!(left, [true, false, false, true]);
        assert!(dir.path().join("notes.txt").exists());
    }

    #[test]
    fn a_directory_under_a_file_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let dir = file.path().join("cache");
        let error = DiskCache::open(&dir, 1 << 20).unwrap_err();
        assert!(matches!(&error, CacheError::Create { dir: named, .. } if *named == dir));
        assert!(
            error.to_string().contains("choose another directory"),
            "{error}"
        );
    }

    #[test]
    fn writers_and_readers_at_once_see_only_whole_entries() {
        let dir = tempfile::tempdir().unwrap();
        let key = key("g", "t", CUBE);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let cache = open(&dir);
                    for _ in 0..50 {
                        cache.put(&key, CUBE, SHAPE, &DATA).unwrap();
                        assert_eq!(cache.get(&key, CUBE, SHAPE), Lookup::Found(DATA.to_vec()));
                    }
                });
            }
        });
    }

    proptest! {
        #[test]
        fn random_files_are_never_trusted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let (_dir, cache, key) = stored();
            fs::write(cache.0.path(&key), &bytes).unwrap();
            prop_assert_eq!(cache.get(&key, CUBE, SHAPE), Lookup::Damaged);
        }
    }
}
