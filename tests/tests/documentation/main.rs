//! What the documentation tells users to type is typed here: into bash, letter for letter.
//!
//! Files stand at the names that are written down, and programs that need what no machine is sure to have
//! (a camera, a screen, a GPU, hours) are found in `tests/stand-ins` first. Each says what it does instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mdetr_tests::TestEnv;
use serde_json::Value;

mod links;
mod messages;

const ELEMENTS: [&str; 6] = [
    "mdetr",
    "mdetrtrack",
    "mdetrrules",
    "mdetroverlay",
    "mdetr2json",
    "tabletopsrc",
];

/// First words of commands.
const PROGRAMS: [&str; 17] = [
    ".venv/bin/python",
    ".venv/bin/torchrun",
    "cargo",
    "curl",
    "echo",
    "export",
    "git",
    "gst-inspect-1.0",
    "gst-launch-1.0",
    "make",
    "mdetr",
    "mdetr-monitor",
    "mkdir",
    "python3",
    "sudo",
    "target/release/mdetr",
    "target/release/mdetr-monitor",
];

/// Documents for users outside the book.
const DOCUMENTS: [&str; 6] = [
    "README.md",
    "CONTRIBUTING.md",
    "cross/README.md",
    "examples/README.md",
    "models/tabletop/README.md",
    "models/training/README.md",
];

/// The pages of the book.
const BOOK: &str = "docs/src";

/// The documentation of the elements.
const ELEMENTS_DOCUMENT: &str = "plugins/mdetr/src/lib.rs";

/// Values that not every build, or not every GStreamer, has; the documents say so.
const NOT_EVERYWHERE: [&str; 3] = ["engine=tensorrt", "engine=onnxruntime", "analytics=on"];

/// A document's blocks of code and its code in running text.
#[derive(Debug, Default)]
struct Document {
    blocks: Vec<String>,
    spans: Vec<String>,
}

impl Document {
    fn read(env: &TestEnv, name: &str) -> Document {
        let path = env.root().join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        if !name.ends_with(".rs") {
            return Document::parse(&text);
        }
        let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
        let lines: Vec<&str> = lines.map(|l| l.strip_prefix(' ').unwrap_or(l)).collect();
        Document::parse(&lines.join("\n"))
    }

    fn parse(text: &str) -> Document {
        let mut document = Document::default();
        let mut running = String::new();
        let (mut fenced, mut blank, mut block) = (false, true, String::new());
        for line in text.lines().chain([""]) {
            let code = line
                .strip_prefix("    ")
                .filter(|_| blank || !block.is_empty());
            if line.starts_with("```") {
                fenced = !fenced;
            } else if fenced {
                // Rust, or pipelines that the plugin's own tests run.
            } else if let Some(code) = code {
                block += &format!("{code}\n");
            } else {
                if !block.is_empty() {
                    document.blocks.push(std::mem::take(&mut block));
                }
                running += line.trim_start();
                running.push(' ');
            }
            blank = line.trim().is_empty();
        }
        let spans = running.split('`').skip(1).step_by(2);
        document.spans = spans.map(str::to_owned).collect();
        document
    }
}

fn is_command(text: &str) -> bool {
    let mut words = text.split_whitespace();
    // Variables of the environment may come first.
    let variable = |w: &&str| {
        w.split_once('=')
            .is_some_and(|(n, _)| n == n.to_uppercase())
    };
    let first = words.by_ref().find(|word| !variable(word));
    let Some(first) = first.filter(|first| PROGRAMS.contains(first)) else {
        return false;
    };
    match words.next() {
        // The element, or the name alone.
        Some(next) if first == "mdetr" => !next.contains('=') && next != "!",
        next => next.is_some(),
    }
}

/// Elements with properties, without a source or sink.
fn is_fragment(text: &str) -> bool {
    let first = text.split_whitespace().next().unwrap_or_default();
    ELEMENTS.contains(&first) && text.contains('=') && !is_command(text)
}

fn property(text: &str) -> Option<&str> {
    let (name, _) = text.split_once('=')?;
    let kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (!name.is_empty() && name.chars().all(kebab)).then_some(name)
}

/// A directory like the root of a clone, built, with what the documents name in it.
struct Clone {
    env: TestEnv,
}

impl Clone {
    fn new() -> Clone {
        let env = TestEnv::new();
        let clone = Clone { env };
        let (here, root) = (clone.env.path().to_owned(), clone.env.root());
        let stand_ins = root.join("tests/stand-ins");
        let link = |target: &Path, name: &str| {
            let name = here.join(name);
            fs::create_dir_all(name.parent().unwrap()).unwrap();
            symlink(target, name).unwrap();
        };
        link(&root.join("configs"), "configs");
        link(&root.join("models/tabletop"), "models/tabletop");
        link(&root.join("models/training"), "models/training");
        link(&root.join("models/tabletop"), "models/refcoco-eb3");
        link(&root.join("models/tabletop"), "models/mdetr-eb3");
        link(&root.join("examples"), "examples");
        link(&stand_ins.join("mdetr"), "target/release/mdetr");
        link(
            &stand_ins.join("mdetr-monitor"),
            "target/release/mdetr-monitor",
        );
        let plugin = clone.env.target().join("libgstmdetr.so");
        link(&plugin, "target/release/libgstmdetr.so");
        link(&stand_ins.join("python"), ".venv/bin/python");
        link(&stand_ins.join("python"), ".venv/bin/torchrun");
        let picture = root.join("src/mdetr/tests/data/parity/00.png");
        link(&picture, "photo.png");
        link(&picture, "pictures/00.png");
        clone
    }

    /// What the commands of `mdetr eval` read, and a video.
    fn with_data(self) -> Clone {
        self.run(
            "gst-launch-1.0 -q tabletopsrc num-buffers=8 ! video/x-raw,width=160,height=120,framerate=30/1 \
             ! videoconvert ! vp8enc deadline=1 ! webmmux ! filesink location=clip.webm
             mdetr scenes dataset --count 2 --captions 8 --kinds phrase --out scenes
             ln -s scenes/images train2014",
        );
        let scenes = serde_json::from_str(&self.env.read("scenes/annotations.json")).unwrap();
        let refcoco = self.env.path().join("finetune_refcoco_testA.json");
        fs::write(refcoco, expressions(scenes).to_string()).unwrap();
        let entities = self.env.root().join("src/eval/tests/fixtures/flickr");
        let here = self.env.path();
        fs::create_dir_all(here.join("flickr30k_entities")).unwrap();
        for name in ["Annotations", "Sentences"] {
            symlink(
                entities.join(name),
                here.join("flickr30k_entities").join(name),
            )
            .unwrap();
        }
        fs::write(here.join("flickr30k_entities/test.txt"), "1000\n").unwrap();
        fs::create_dir_all(here.join("flickr30k-images")).unwrap();
        let photo = image::open(here.join("photo.png")).unwrap().into_rgb8();
        photo.save(here.join("flickr30k-images/1000.jpg")).unwrap();
        self
    }

    /// What `with_data` made in another one.
    fn with_data_of(self, other: &Clone) -> Clone {
        let from = other.env.path().display();
        self.run(&format!(
            "cp -a '{from}'/{{clip.webm,scenes,train2014,finetune_refcoco_testA.json,flickr30k_entities,flickr30k-images}} ."
        ));
        self
    }

    fn bash(&self, script: &str) -> Command {
        let stand_ins = self.env.root().join("tests/stand-ins");
        let path = std::env::var("PATH").expect("set");
        let mut command = Command::new("bash");
        command
            .args(["-euo", "pipefail", "-c", script])
            .env("PATH", format!("{}:{path}", stand_ins.display()))
            .env("MDETR_COMMAND", self.env.target().join("mdetr"))
            .env("MDETR_MONITOR", self.env.target().join("mdetr-monitor"))
            .env("MDETR_ROOT", self.env.root());
        command
    }

    /// Standard output of a script that must succeed.
    fn run(&self, script: &str) -> String {
        println!("{script}");
        self.env.run(&mut self.bash(script)).success()
    }
}

/// A data set's captions that mean one object.
fn expressions(mut scenes: Value) -> Value {
    let annotations = scenes["annotations"].as_array().unwrap().clone();
    let objects = |image: &Value| {
        let of_image = annotations.iter().filter(|a| a["image_id"] == image["id"]);
        of_image.count()
    };
    let images = scenes["images"].as_array_mut().unwrap();
    images.retain(|image| objects(image) == 1);
    let ids: Vec<Value> = images.iter().map(|image| image["id"].clone()).collect();
    assert!(!ids.is_empty(), "no caption means one object");
    let annotations = scenes["annotations"].as_array_mut().unwrap();
    annotations.retain(|annotation| ids.contains(&annotation["image_id"]));
    scenes
}

/// The pages of the book, relative to the root.
fn pages() -> Vec<String> {
    let root = TestEnv::new().root();
    let mut pages = markdown_in(&root.join(BOOK));
    pages.retain(|page| !page.ends_with("SUMMARY.md"));
    let relative = pages.iter().map(|page| page.strip_prefix(root).unwrap());
    relative.map(|page| page.display().to_string()).collect()
}

/// The Markdown files of a directory and of those in it that are part of the repository, sorted.
fn markdown_in(directory: &Path) -> Vec<PathBuf> {
    const NOT_OURS: [&str; 5] = ["target", "out", "data", ".venv", ".git"];
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || NOT_OURS.contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            found.extend(markdown_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Documents whose names of properties, options and elements must exist.
fn documents_of_elements() -> Vec<String> {
    let others = ["README.md", "models/tabletop/README.md", ELEMENTS_DOCUMENT];
    let others = others.map(str::to_owned);
    pages().into_iter().chain(others).collect()
}

/// A command, or its help if it is only named.
fn whole(command: &str) -> String {
    let name = |word: &str| word.chars().all(|c| c.is_ascii_lowercase());
    match command.starts_with("mdetr ") && command.split(' ').all(name) {
        true => format!("{command} --help"),
        false => command.to_owned(),
    }
}

fn run_commands(documents: &[impl AsRef<str>]) {
    let data = Clone::new().with_data();
    for document in documents {
        run_commands_of(document.as_ref(), &data);
    }
}

fn run_commands_of(document: &str, data: &Clone) {
    let clone = Clone::new().with_data_of(data);
    let Document { blocks, spans } = Document::read(&clone.env, document);
    for block in &blocks {
        let first = block.lines().next().expect("not empty");
        if is_command(first) {
            clone.run(block);
        } else {
            let output = ["{", "-"].iter().any(|mark| first.starts_with(mark));
            assert!(output, "neither a command nor what one prints: {block}");
        }
    }
    let commands = spans.iter().filter(|span| is_command(span));
    commands.for_each(|command| drop(clone.run(&whole(command))));
    let fragments = spans.iter().filter(|span| is_fragment(span));
    fragments.for_each(|fragment| {
        clone.run(&format!(
            "gst-launch-1.0 -q tabletopsrc ! {fragment} ! fakesink"
        ));
    });
}

#[test]
fn commands_of_the_readme_run() {
    run_commands(&["README.md"]);
}

#[test]
fn commands_of_the_book_run() {
    run_commands(&pages());
}

#[test]
fn commands_for_contributors_run() {
    run_commands(&["CONTRIBUTING.md"]);
}

#[test]
fn commands_of_the_examples_run() {
    run_commands(&["examples/README.md"]);
}

#[test]
fn commands_for_nvidia_machines_run() {
    run_commands(&["cross/README.md"]);
}

#[test]
fn commands_of_the_bundled_model_run() {
    run_commands(&["models/tabletop/README.md"]);
}

#[test]
fn commands_of_the_trainer_run() {
    run_commands(&["models/training/README.md"]);
}

/// `name=value` of an element, in documents and in what `gst-inspect-1.0` prints, can be typed so.
#[test]
fn properties_can_be_set_as_documented() {
    let clone = Clone::new();
    let mut values: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut spans: Vec<String> = documents_of_elements()
        .iter()
        .flat_map(|document| Document::read(&clone.env, document).spans)
        .collect();
    // filesink is not ours, but the documents say how it is best set.
    let elements = || ELEMENTS.into_iter().chain(["filesink"]);
    let inspected: BTreeMap<&str, String> = elements()
        .map(|element| (element, clone.env.inspect(element).success()))
        .collect();
    // The one example in the properties' texts.
    let example = inspected["mdetr"]
        .split_once("queries='")
        .expect("an example")
        .1;
    let example = example.split_once('\'').expect("its end").0;
    spans.push(format!("queries='{example}'"));
    for span in spans {
        let Some(name) = property(&span) else {
            continue;
        };
        let has = |text: &str| {
            let mut names = text.lines().filter_map(|line| line.split_once(": "));
            names.any(|(before, _)| before.trim() == name)
        };
        let element = elements()
            .find(|element| has(&inspected[element]))
            .unwrap_or_else(|| panic!("`{span}`: no element has the property {name}"));
        if !NOT_EVERYWHERE.contains(&span.as_str()) {
            values.entry(element).or_default().insert(span.clone());
        }
    }
    assert!(values["mdetr"].len() > 5, "{values:?}");
    for (element, mut spans) in values {
        // As many at once as set different things.
        let subject = |span: &String| match property(span) {
            Some("query" | "queries" | "config") => Some("queries".to_owned()),
            name => name.map(str::to_owned),
        };
        while !spans.is_empty() {
            let mut subjects = BTreeSet::new();
            let (now, later): (BTreeSet<_>, BTreeSet<_>) = spans
                .into_iter()
                .partition(|span| subjects.insert(subject(span)));
            spans = later;
            let now = now.into_iter().collect::<Vec<_>>().join(" ");
            let pipeline = match element {
                "tabletopsrc" => format!("tabletopsrc {now} ! fakesink"),
                "filesink" => format!("tabletopsrc ! mdetr2json ! filesink location=out {now}"),
                _ => format!("tabletopsrc ! {element} {now} ! fakesink"),
            };
            clone.run(&format!("gst-launch-1.0 -q {pipeline}"));
        }
    }
}

/// Every option and every name with a hyphen is one of the command's, an element's or the plugin's.
#[test]
fn names_in_the_documents_exist() {
    let clone = Clone::new();
    let mut known = help(&clone, &[]);
    for element in ELEMENTS {
        known += &clone.env.inspect(element).success();
    }
    let root = clone.env.root();
    for file in [
        "examples/read_json.py",
        "models/training/mdetr_training/__main__.py",
        "src/rules/schema/event-1.json",
        "tools/setup",
        "Cargo.toml",
        "configs/models.toml",
        "cross/debian/control",
    ] {
        known += &fs::read_to_string(root.join(file)).unwrap();
    }
    for sources in [
        "plugins/mdetr/src",
        "plugins/common/src",
        "plugins/mdetr-ros2/src",
        "src/monitor/src",
        "src/ros2/src",
        "src/rules/src",
    ] {
        known += &literals(&root.join(sources));
    }
    let known: BTreeSet<&str> = known
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .collect();
    let mut checked = 0;
    for document in documents_of_elements() {
        for span in Document::read(&clone.env, &document).spans {
            let first = span.split([' ', '=']).next().unwrap_or_default();
            let option = first.starts_with("--");
            let part = |part: &str| {
                !part.is_empty()
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            };
            let name = first.contains('-') && first.split('-').all(part);
            if option || (name && span == first) {
                assert!(known.contains(first), "{document}: `{span}` is not known");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked} names");
}

/// The help of the command and of all its subcommands.
fn help(clone: &Clone, command: &[&str]) -> String {
    let args = command.iter().copied().chain(["--help"]);
    let mut text = clone.env.mdetr(args).success();
    let Some((_, list)) = text.split_once("Commands:\n") else {
        return text;
    };
    let list = list.split("\n\n").next().unwrap_or_default().to_owned();
    let names = list
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()) {
        if name != "help" {
            let whole: Vec<&str> = command.iter().copied().chain([name]).collect();
            text += &help(clone, &whole);
        }
    }
    text
}

/// What stands between quotes in the sources of a directory.
fn literals(directory: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += &literals(&path);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            for line in code {
                let quoted: Vec<&str> = line.split('"').skip(1).step_by(2).collect();
                found += &quoted.join(" ");
                found.push(' ');
            }
        }
    }
    found
}

/// Pipelines that print lines print each when it is made: here by cameras that do not stop.
#[test]
fn lines_are_printed_at_once() {
    let clone = Clone::new();
    let documents = pages().into_iter().chain(DOCUMENTS.map(str::to_owned));
    let blocks: Vec<String> = documents
        .flat_map(|document| Document::read(&clone.env, &document).blocks)
        .collect();
    let prints = |line: &&str| {
        let ends = line.ends_with("fdsink") || line.contains("/dev/stdout");
        line.contains("mdetr2json") && ends
    };
    let pipelines: BTreeSet<&str> = blocks
        .iter()
        .flat_map(|b| b.lines())
        .filter(prints)
        .collect();
    assert!(!pipelines.is_empty(), "no pipeline that prints lines");
    for pipeline in pipelines {
        let first = first_output(&clone, pipeline);
        let lines = first.matches("\"schema\":").count();
        assert!(
            (1..50).contains(&lines),
            "{lines} lines at once: {pipeline}"
        );
    }
}

/// What a program that does not end prints first, in one piece.
fn first_output(clone: &Clone, script: &str) -> String {
    let mut child = clone
        .env
        .prepare(&mut clone.bash(&format!("exec {script}")))
        .env("MDETR_STAND_IN_FRAMES", "-1")
        .stdout(Stdio::piped())
        .spawn()
        .expect("bash");
    let mut bytes = vec![0; 1 << 20];
    let read = child.stdout.take().expect("piped").read(&mut bytes);
    child.kill().expect("our own child can be killed");
    child.wait().expect("our own child can be waited for");
    bytes.truncate(read.expect("a pipe can be read"));
    String::from_utf8(bytes).expect("UTF-8")
}
