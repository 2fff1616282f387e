//! How much memory the network takes for a frame, and how much there is.

use std::fs;
use std::path::Path;
use std::sync::{Condvar, Mutex};

use crate::bundle::Network;
use mdetr_engine::locked;

/// Channels of an attention head in DETR, MDETR and their released checkpoints, and in ours.
const HEAD_WIDTH: usize = 32;
/// Attention scores are there before and after their softmax.
const SCORE_COPIES: u64 = 2;
/// Maps of the backbone at once, in numbers for each pixel of the input: those of EfficientNet-B3, whose
/// expanded maps of 144 channels at stride 2 are there before and after their activation. ResNets have
/// about half of them.
const VISION_FLOATS: u64 = 128;
/// Maps of the mask head at once have `d` over this numbers for each pixel of the input and each object:
/// patches of 3 x 3 of its last maps but one, of an eighth of `d` channels at stride 4.
const MASK_SHARE: u64 = 12;
/// Rows of `d` numbers for each token at once in a layer of the encoder.
const TOKEN_ROWS: u64 = 16;
/// Texts are fused at once up to this: what that saves is little beside the work on so many tokens.
const TEXTS_BYTES: u64 = 1 << 30;

const FLOAT: u64 = 4;

/// Bytes that inference on a frame takes at most at a time, about; weights are not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Vision tokens.
    pub tokens: u64,
    /// The input and the backbone's maps.
    vision: u64,
    /// A text that is fused with it.
    text: u64,
    /// Masks, from the mask head to the size of the frame.
    masks: u64,
}

impl Footprint {
    /// For a frame that is fed as `input`, both width and height; `objects` of a run of the mask graph,
    /// 0 if no masks are drawn.
    pub(super) fn new(
        sizes: &Network,
        frame: (u32, u32),
        input: (u32, u32),
        objects: usize,
    ) -> Footprint {
        let area = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        let (rows, columns) = super::positions::grid(input, sizes.stride);
        let tokens = rows as u64 * columns as u64;
        let sequence = tokens + sizes.max_tokens as u64;
        let heads = (sizes.d_model / HEAD_WIDTH).max(1) as u64;
        let scores = SCORE_COPIES * heads * sequence * sequence;
        let rows = TOKEN_ROWS * sequence * sizes.d_model as u64;
        let masks = match objects as u64 {
            0 => 0,
            objects => {
                let maps = objects * sizes.d_model as u64 * area(input) / MASK_SHARE;
                maps + area(input) + area(frame)
            }
        };
        Footprint {
            tokens,
            vision: FLOAT * VISION_FLOATS * area(input),
            text: FLOAT * (scores + rows),
            masks: FLOAT * masks,
        }
    }

    /// How many texts are fused in one run, where the engine gains from `most`.
    pub(super) fn texts_at_once(self, most: usize) -> usize {
        let fit = usize::try_from(TEXTS_BYTES / self.text.max(1)).unwrap_or(usize::MAX);
        fit.min(most).max(1)
    }

    /// The peak, with so many texts in one run.
    pub(super) fn peak(self, texts: usize) -> u64 {
        self.vision
            .max(self.text * self.texts_at_once(texts) as u64)
            .max(self.masks)
    }
}

/// Memory that frames take at once. One that finds too little of it left waits for others to end, so that
/// as many threads as there are cores do not each take what one may.
#[derive(Debug)]
pub(super) struct Budget {
    taken: Mutex<u64>,
    returned: Condvar,
}

/// What a frame has taken; dropped with it.
#[derive(Debug)]
pub(super) struct Share<'a> {
    budget: &'a Budget,
    bytes: u64,
}

/// Of this process.
pub(super) static BUDGET: Budget = Budget::new();

impl Budget {
    const fn new() -> Budget {
        Budget {
            taken: Mutex::new(0),
            returned: Condvar::new(),
        }
    }

    /// Bytes taken now.
    pub(super) fn taken(&self) -> u64 {
        *locked(&self.taken)
    }

    /// Waits until all together take `limit` at most, or nobody else takes any.
    pub(super) fn take(&self, bytes: u64, limit: u64) -> Share<'_> {
        let over = |taken: &mut u64| *taken > 0 && taken.saturating_add(bytes) > limit;
        let waited = self.returned.wait_while(locked(&self.taken), over);
        *waited.unwrap_or_else(|e| e.into_inner()) += bytes;
        Share {
            budget: self,
            bytes,
        }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        *locked(&self.budget.taken) -= self.bytes;
        self.budget.returned.notify_all();
    }
}

/// Bytes that are free for this process: of the machine, and of the control group that it runs in;
/// `None` where the system does not say.
pub(super) fn available() -> Option<u64> {
    let machine = machine(&fs::read_to_string("/proc/meminfo").ok()?);
    let group = fs::read_to_string("/proc/self/cgroup")
        .ok()
        .and_then(|groups| group(Path::new("/sys/fs/cgroup"), &groups));
    machine.into_iter().chain(group).min()
}

/// `MemAvailable` of `/proc/meminfo`.
fn machine(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// The least that is left of the limits of the group that `/proc/self/cgroup` names and those above it,
/// of version 2; pages of files count as free, as they are given up first.
fn group(root: &Path, groups: &str) -> Option<u64> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let directory = root.join(path);
    let left = |directory: &Path| {
        let number = |file: &str| -> Option<u64> {
            fs::read_to_string(directory.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let limit = number("memory.max")?;
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let files = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "));
        let files: u64 = files
            .and_then(|bytes| bytes.trim().parse().ok())
            .unwrap_or(0);
        Some(limit.saturating_sub(number("memory.current")?.saturating_sub(files)))
    };
    let directories = directory
        .ancestors()
        .take_while(|above| above.starts_with(root));
    directories.filter_map(left).min()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::grounder::GrounderOptions;

    fn sizes(d_model: usize, stride: usize) -> Network {
        Network {
            d_model,
            queries: 100,
            slots: 256,
            stride,
            max_tokens: 64,
            past: 0,
            lost: 0,
            past_interval: 0.4,
        }
    }

    #[test]
    fn attention_grows_with_the_square_of_the_tokens() {
        let peak = |input| Footprint::new(&sizes(128, 16), input, input, 8).peak(1);
        // 250 x 334 tokens, four heads, twice.
        let scores = 8 * 4 * (83_500u64 + 64).pow(2);
        let found = peak((5333, 4000));
        assert!((scores..scores * 11 / 10).contains(&found), "{found}");
        assert!(found > 200 << 30);
        let (half, whole) = (peak((1600, 1600)), peak((3200, 3200)));
        assert!((14 * half..16 * half).contains(&whole), "{half} {whole}");
    }

    #[test]
    fn a_side_of_any_length_has_an_estimate() {
        for input in [(1, 1), (1, 16384), (16384, 1), (16384, 16384)] {
            for stride in [1, 16, 32] {
                let footprint = Footprint::new(&sizes(256, stride), (16384, 16384), input, 8);
                assert!(
                    footprint.peak(8) > 1 << 30,
                    "masks have the size of the frame"
                );
                assert!(footprint.texts_at_once(8) >= 1);
            }
        }
        let thin = Footprint::new(&sizes(256, 16), (16384, 1), (16384, 1), 0);
        assert_eq!(thin.tokens, 1024);
        assert!(thin.peak(1) < GrounderOptions::SMALL_MEMORY);
    }

    #[test]
    fn large_frames_are_fused_with_fewer_texts_at_once() {
        let at_once = |input| Footprint::new(&sizes(256, 32), input, input, 0).texts_at_once(8);
        assert_eq!(at_once((640, 480)), 8);
        assert_eq!(at_once((1333, 800)), 8);
        assert_eq!(at_once((8192, 8192)), 1);
    }

    #[test]
    fn what_the_system_says_is_read() {
        let info =
            "MemTotal:       24619604 kB\nMemFree:         1 kB\nMemAvailable:   21983320 kB\n";
        assert_eq!(machine(info), Some(21_983_320 << 10));
        assert_eq!(machine("MemTotal: 1 kB"), None);
        assert_eq!(machine("MemAvailable: many kB"), None);
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn the_tightest_control_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("box/job");
        fs::create_dir_all(&inner).unwrap();
        let write = |path: &Path, limit: &str, used: u64, files: u64| {
            fs::write(path.join("memory.max"), format!("{limit}\n")).unwrap();
            fs::write(path.join("memory.current"), format!("{used}\n")).unwrap();
            let stat = format!("anon 5\ninactive_file {files}\n");
            fs::write(path.join("memory.stat"), stat).unwrap();
        };
        let groups = "12:cpu:/other\n0::/box/job\n";
        assert_eq!(group(root.path(), groups), None);
        write(&inner, "max", 700, 100);
        assert_eq!(group(root.path(), groups), None);
        write(&inner.join(".."), "1000", 700, 100);
        assert_eq!(group(root.path(), groups), Some(400));
        write(&inner, "500", 600, 0);
        assert_eq!(group(root.path(), groups), Some(0));
        assert_eq!(group(root.path(), "1:memory:/box\n"), None);
    }

    #[test]
    fn frames_wait_for_memory_that_others_take() {
        let budget = Budget::new();
        let (now, most) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for bytes in [3, 4, 5, 6, 20] {
                let (budget, now, most) = (&budget, &now, &most);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let share = budget.take(bytes, 10);
                        let taken = now.fetch_add(bytes, Ordering::SeqCst) + bytes;
                        assert!(taken <= 10 || taken == bytes, "{taken}");
                        most.fetch_max(taken, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_micros(200));
                        now.fetch_sub(bytes, Ordering::SeqCst);
                        drop(share);
                    }
                });
            }
        });
        assert_eq!(budget.taken(), 0);
        assert!(most.into_inner() >= 20);
    }
}
