//! Which files `mdetr` reads and writes: names of any bytes, pipes, photos that are turned, and files
//! that are not its own.

mod common;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{code, command, errors, mdetr, refused, root, run, scene, succeeded};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Every file below a directory, with its bytes; links are not followed.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            files.extend(contents(&path));
        } else if path.is_file() {
            files.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    files
}

const FIND: [&str; 3] = ["detect", "--query", "all objects"];

#[test]
fn pictures_are_never_replaced_by_annotated_ones() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for place in ["photos", "more"] {
        fs::create_dir(dir.join(place)).unwrap();
        fs::copy(scene(), dir.join(place).join("photo.png")).unwrap();
    }
    symlink("photos", dir.join("link")).unwrap();
    fs::create_dir(dir.join("out")).unwrap();
    symlink("../photos/photo.png", dir.join("out/photo.png")).unwrap();
    let before = contents(dir);
    for (inputs, out) in [
        ("photos", "photos"),
        ("photos", "link"),
        ("photos", "./more/../photos"),
        ("photos/photo.png", "photos/"),
        ("more/photo.png", "photos"),
        ("photos/*.png", "out"),
        ("more/photo.png photos/photo.png", "more"),
    ] {
        let inputs = inputs.split(' ');
        let arguments: Vec<&str> = FIND
            .into_iter()
            .chain(inputs)
            .chain(["--annotate", out])
            .collect();
        let output = mdetr(dir, &arguments);
        assert_eq!(code(&output), 2, "{arguments:?}");
        refused(&output, "name another directory");
        assert!(output.stdout.is_empty(), "nothing is begun");
        assert!(contents(dir) == before, "{arguments:?}");
    }
    // What an earlier run wrote is its own.
    for _ in 0..2 {
        let arguments = [&FIND[..], &["photos", "more", "--annotate", "new"]].concat();
        succeeded(mdetr(dir, &arguments));
        let names: Vec<_> = contents(&dir.join("new")).into_keys().collect();
        assert_eq!(
            names,
            [dir.join("new/photo-2.png"), dir.join("new/photo.png")]
        );
    }
    let arguments = [&FIND[..], &["new", "--annotate", "new"]].concat();
    refused(&mdetr(dir, &arguments), "name another directory");
}

#[test]
fn no_option_replaces_a_file_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let fixtures = root().join("src/eval/tests/fixtures");
    fs::copy(scene(), dir.join("mine.png")).unwrap();
    for file in ["mine.y4m", "mine.txt", "mine.json"] {
        fs::write(dir.join(file), "mine").unwrap();
    }
    fs::write(dir.join("begun.jsonl"), "{\"key\":").unwrap();
    fs::create_dir(dir.join("frames")).unwrap();
    fs::copy(scene(), dir.join("frames/000001.png")).unwrap();
    fs::create_dir_all(dir.join("coco/images")).unwrap();
    fs::write(dir.join("coco/annotations.json"), "{}").unwrap();
    succeeded(run(
        dir,
        "scenes dataset --count 3 --captions 4 --size 160x120 --out set",
    ));
    fs::create_dir(dir.join("failures")).unwrap();
    for kind in [
        "absent",
        "phrase",
        "relation",
        "plural",
        "relation2",
        "multi",
    ] {
        fs::copy(scene(), dir.join("failures").join(format!("{kind}-1.png"))).unwrap();
    }
    let before = contents(dir);
    let gqa = format!(
        "eval gqa --predictions {0}/gqa/predictions.jsonl --questions {0}/gqa/questions.json \
         --vocabulary {0}/gqa/gqa_answer2id_by_type.json --submission mine.json",
        fixtures.display()
    );
    let clevr = format!(
        "eval clevr --predictions {0}/clevr/predictions.jsonl --questions {0}/clevr/questions.json \
         --answers mine.txt",
        fixtures.display()
    );
    let rec = |file: &str| {
        let truth = fixtures.join("rec/truth.json");
        format!(
            "eval rec --predictions {file} --annotations {} --images .",
            truth.display()
        )
    };
    for line in [
        "sheet mine.png --out mine.png",
        "sheet mine.png --out mine.txt",
        "scenes show --out mine.png",
        "scenes video --seconds 0.1 --out mine.y4m",
        "scenes video --seconds 0.1 --out frames",
        "scenes video --seconds 0.1 --out - --truth mine.txt",
        "scenes video --seconds 0.1 --out - --truth begun.jsonl",
        "scenes video --seconds 0.1 --out x.y4m --truth x.y4m",
        "scenes dataset --count 1 --out coco",
        "scenes dataset --count 1 --overwrite --out coco",
        "eval set --failures failures",
        &gqa,
        &clevr,
        &rec("mine.png"),
        &rec("mine.txt"),
        &rec("begun.jsonl"),
    ] {
        let output = run(dir, line);
        assert!(!output.status.success(), "{line}");
        let errors = errors(&output);
        let named = ["mine.", "begun.", "frames", "coco", "failures", "x.y4m"];
        assert!(
            named.iter().any(|name| errors.contains(name)),
            "{line}: {errors}"
        );
        let mut after = contents(dir);
        after.retain(|path, _| !path.starts_with(dir.join("frames")) || before.contains_key(path));
        assert!(after == before, "{line}");
    }
    // What is its own, or empty, is replaced.
    fs::write(dir.join("empty.png"), "").unwrap();
    for line in [
        "sheet mine.png --out sheet.png",
        "sheet mine.png --out empty.png",
        "scenes show --out show.png",
        "scenes video --seconds 0.1 --size 160x120 --out a.y4m --truth a.jsonl",
        "scenes video --seconds 0.1 --size 160x120 --out own",
    ] {
        succeeded(run(dir, line));
        succeeded(run(dir, line));
    }
}

#[test]
fn the_demo_keeps_a_video_that_it_would_replace() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for made in ["tools", "out/frames"] {
        fs::create_dir_all(dir.join(made)).unwrap();
    }
    for script in ["tools/demo", "tools/release-environment"] {
        fs::copy(root().join(script), dir.join(script)).unwrap();
    }
    for video in ["out/demo.webm", "out/frames/001.png"] {
        fs::write(dir.join(video), "mine").unwrap();
        let mut demo = Command::new("bash");
        demo.arg("tools/demo").current_dir(dir).env("VIDEO", video);
        let output = demo.output().unwrap();
        assert_eq!(code(&output), 2, "{}", errors(&output));
        refused(&output, video);
        assert_eq!(fs::read(dir.join(video)).unwrap(), b"mine");
    }
}

#[test]
fn paths_of_any_bytes_work_in_every_option() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join(OsStr::from_bytes(b"caf\xe9"));
    fs::create_dir(&dir).unwrap();
    // An absolute path, so that every argument has the byte in it.
    let at = |name: &str| dir.join(name).into_os_string();
    let odd = at("phot\u{f3}.png").into_vec();
    let odd = OsString::from_vec([&odd[..], b"\xff.png"].concat());
    fs::copy(scene(), &odd).unwrap();
    fs::copy(scene(), at("a.png")).unwrap();
    fs::create_dir(at("model")).unwrap();
    for entry in fs::read_dir(root().join("models/tabletop")).unwrap() {
        let from = entry.unwrap().path();
        fs::copy(
            &from,
            Path::new(&at("model")).join(from.file_name().unwrap()),
        )
        .unwrap();
    }
    let words = |line: &str| -> Vec<OsString> {
        let word = |word: &str| match word.strip_prefix('@') {
            Some(name) => at(name),
            None => word.into(),
        };
        line.split(' ').map(word).collect()
    };
    let go = |line: &str| succeeded(mdetr(&dir, &words(line)));

    for input in ["@", "@*.png", "@a.png"] {
        let mut arguments = words(&format!(
            "detect --query objects --json --model @model {input}"
        ));
        arguments.extend((input == "@a.png").then(|| odd.clone()));
        let found = lines(&succeeded(mdetr(&dir, &arguments)));
        assert_eq!(found.len(), 2, "{input}");
        let sources: Vec<&str> = found
            .iter()
            .map(|l| l["source"].as_str().unwrap())
            .collect();
        assert!(
            sources.iter().all(|s| s.contains("caf\u{fffd}")),
            "{sources:?}"
        );
        assert!(
            sources[1].ends_with("phot\u{f3}.png\u{fffd}.png"),
            "{sources:?}"
        );
        assert_eq!(found[0]["queries"], found[1]["queries"]);
    }
    let said = go("detect --query objects @ --annotate @out");
    assert_eq!(said.matches("  q1 ").count(), 2, "{said}");
    let drawn = contents(Path::new(&at("out"))).into_keys();
    let drawn: Vec<OsString> = drawn
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(
        drawn,
        [
            "a.png".into(),
            Path::new(&odd).file_name().unwrap().to_owned()
        ]
    );

    go("bundle check @model");
    go("sheet @a.png @out/a.png --out @sheet.png");
    go("scenes show --out @show.png");
    go("scenes video --seconds 0.1 --out @v.y4m --truth @v.jsonl");
    go("scenes video --seconds 0.1 --out @frames");
    go("scenes dataset --count 2 --size 160x120 --out @set");
    go("eval @set --model @model --failures @failures");
    go("plan list --plan-cache-dir @plans");
    go("plan clear --plan-cache-dir @plans");
    let json = go("detect --query objects --json @a.png");
    fs::write(at("found.jsonl"), json).unwrap();
    let said = go("summary @found.jsonl");
    assert!(said.contains("of 1 frames"), "{said}");
    go("eval tracking --truth @v.jsonl --found @found.jsonl");

    for name in ["rec", "gqa", "clevr", "flickr", "coco", "lvis", "phrasecut"] {
        let from = root().join("src/eval/tests/fixtures").join(name);
        let copied = Command::new("cp").arg("-r").arg(from).arg(&dir).status();
        assert!(copied.unwrap().success());
    }
    go("eval rec --predictions @rec/predictions.jsonl --annotations @rec/truth.json");
    go("eval coco --predictions @coco/predictions.jsonl --annotations @coco/truth.json");
    go("eval lvis --predictions @lvis/predictions.jsonl --annotations @lvis/truth.json");
    go("eval flickr --predictions @flickr/predictions.jsonl --entities @flickr --split val");
    go(
        "eval gqa --predictions @gqa/predictions.jsonl --questions @gqa/questions.json \
        --vocabulary @gqa/gqa_answer2id_by_type.json --submission @s.json",
    );
    go(
        "eval clevr --predictions @clevr/predictions.jsonl --questions @clevr/questions.json --answers @a.txt",
    );
    go(
        "eval phrasecut --predictions @phrasecut/predictions.jsonl --refer @phrasecut/refer_miniv.json \
        --sizes @phrasecut/image_data_split.json",
    );
    for file in ["s.json", "a.txt"] {
        assert!(Path::new(&at(file)).is_file());
    }
    let said = mdetr(
        &dir,
        &words("eval rec --predictions @new.jsonl --annotations @rec/truth.json --images @"),
    );
    refused(&said, "0.jpg");
    // A pattern with such a byte that nothing matches is an error of its own.
    let nothing = OsString::from_vec(b"no\xe9*.png".to_vec());
    let said = mdetr(
        &dir,
        &[
            OsStr::new("detect"),
            &nothing,
            &at("a.png"),
            "--query".as_ref(),
            "a".as_ref(),
        ],
    );
    assert_eq!(code(&said), 1);
    assert!(
        errors(&said).contains("nothing matches"),
        "{}",
        errors(&said)
    );
    assert!(!said.stdout.is_empty());
}

#[test]
fn pictures_come_from_pipes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let picture = fs::read(scene()).unwrap();
    let from = |arguments: &[&str], bytes: &[u8]| {
        let mut child = command(dir)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = bytes.to_vec();
        // A process that does not read to the end is no fault of the writer.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    };
    let direct = lines(&succeeded(mdetr(
        dir,
        &[
            FIND[0],
            FIND[1],
            FIND[2],
            "--json",
            scene().to_str().unwrap(),
        ],
    )));
    for source in ["-", "/dev/stdin", "/proc/self/fd/0"] {
        let arguments = [&FIND[..], &[source, "--json", "--annotate", "out"]].concat();
        let found = lines(&succeeded(from(&arguments, &picture)));
        assert_eq!(found[0]["queries"], direct[0]["queries"]);
        assert_eq!(found[0]["source"], source);
    }
    let drawn = contents(&dir.join("out")).into_keys();
    let drawn: Vec<_> = drawn
        .map(|path| path.file_name().unwrap().to_owned())
        .collect();
    assert_eq!(drawn, ["0.png", "stdin.png"]);

    let made = Command::new("mkfifo").arg(dir.join("pipe")).status();
    assert!(made.unwrap().success());
    let (pipe, bytes) = (dir.join("pipe"), picture.clone());
    let writer = std::thread::spawn(move || fs::write(pipe, bytes).unwrap());
    let said = succeeded(mdetr(dir, &[&FIND[..], &["pipe"]].concat()));
    writer.join().unwrap();
    assert!(said.starts_with("pipe\n"), "{said}");

    succeeded(from(&["sheet", "-", "--out", "sheet.png"], &picture));
    let json = format!("{}\n", direct[0]);
    let said = succeeded(from(&["summary", "-"], json.as_bytes()));
    assert!(said.starts_with("standard input: 1 frames\n"), "{said}");

    for (bytes, expected) in [
        (&b""[..], "standard input: it is empty"),
        (b"words", "standard input: this is no picture"),
        (
            &picture[..picture.len() / 2],
            "standard input: the PNG is cut short",
        ),
    ] {
        let output = from(&[&FIND[..], &["-"]].concat(), bytes);
        assert_eq!(code(&output), 1);
        refused(&output, expected);
    }
    let twice = from(&[&FIND[..], &["-", "-"]].concat(), &picture);
    assert_eq!(code(&twice), 1);
    refused(&twice, "standard input is named twice");
    assert!(!twice.stdout.is_empty());
    refused(
        &from(&["sheet", "-", "-", "--out", "s.png"], &picture),
        "named twice",
    );
    let endless = mdetr(dir, &[&FIND[..], &["/dev/zero"]].concat());
    refused(&endless, "/dev/zero: this is no picture");
}

/// A PNG with a chunk eXIf that holds an orientation.
fn oriented(png: &[u8], orientation: u8) -> Vec<u8> {
    let exif = [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0",
        &[orientation][..],
        &[0; 7],
    ]
    .concat();
    let mut file = Vec::new();
    let mut writer = png::Encoder::new(&mut file, 1, 1).write_header().unwrap();
    writer
        .write_chunk(png::chunk::ChunkType(*b"eXIf"), &exif)
        .unwrap();
    drop(writer);
    let header = 8 + 25;
    [
        &png[..header],
        &file[header..file.len() - 12],
        &png[header..],
    ]
    .concat()
}

#[test]
fn boxes_are_those_of_the_upright_picture_except_in_evaluations() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let upright = image::open(scene()).unwrap();
    let encode = |picture: &image::DynamicImage| {
        let mut file = std::io::Cursor::new(Vec::new());
        picture
            .write_to(&mut file, image::ImageFormat::Png)
            .unwrap();
        file.into_inner()
    };
    // How a camera stores what is seen upright after each correction.
    let stored = [
        upright.clone(),
        upright.fliph(),
        upright.rotate180(),
        upright.flipv(),
        upright.rotate90().fliph(),
        upright.rotate270(),
        upright.rotate270().fliph(),
        upright.rotate90(),
    ];
    for (orientation, picture) in (1..).zip(&stored) {
        let file = oriented(&encode(picture), orientation);
        fs::write(dir.join(format!("{orientation}.png")), file).unwrap();
    }
    let arguments = [&FIND[..], &[".", "--json", "--annotate", "out"]].concat();
    let found = lines(&succeeded(mdetr(dir, &arguments)));
    assert_eq!(found.len(), 8);
    assert!(
        !found[0]["queries"][0]["detections"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    let drawn = fs::read(dir.join("out/1.png")).unwrap();
    for (n, line) in found.iter().enumerate() {
        assert_eq!(line["size"], serde_json::json!([256, 192]), "{}", n + 1);
        assert_eq!(line["queries"], found[0]["queries"], "{}", n + 1);
        assert!(fs::read(dir.join(format!("out/{}.png", n + 1))).unwrap() == drawn);
    }
    succeeded(run(
        dir,
        "sheet 1.png 6.png --columns 1 --width 64 --out s.png",
    ));
    let sheet = image::open(dir.join("s.png")).unwrap();
    assert_eq!((sheet.width(), sheet.height()), (64, 96));
    assert_eq!(sheet.crop_imm(0, 0, 64, 48), sheet.crop_imm(0, 48, 64, 48));

    succeeded(run(
        dir,
        "scenes dataset --count 2 --captions 2 --size 160x120 --out set",
    ));
    let before = succeeded(run(dir, "eval set --json"));
    for name in ["000000.png", "000001.png"] {
        let path = dir.join("set/images").join(name);
        let turned = oriented(&fs::read(&path).unwrap(), 6);
        fs::write(path, turned).unwrap();
    }
    assert_eq!(succeeded(run(dir, "eval set --json")), before);
}

#[test]
fn a_variable_that_names_no_model_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(scene(), dir.path().join("a.png")).unwrap();
    let with = |model: &str, arguments: &[&str]| {
        let mut command = command(dir.path());
        command
            .args(arguments)
            .env("MDETR_MODEL", model)
            .output()
            .unwrap()
    };
    let find = [&FIND[..], &["a.png"]].concat();
    let output = with("/no/such", &find);
    assert_eq!(code(&output), 2);
    refused(&output, "MDETR_MODEL names /no/such, which is no directory");
    refused(&with("a.png", &["eval", "set"]), "MDETR_MODEL names a.png");
    refused(
        &with("/no/such", &["plan", "build"]),
        "MDETR_MODEL names /no/such",
    );
    let empty = with(".", &find);
    refused(
        &empty,
        "the model that MDETR_MODEL names: bundle file ./model.toml: missing",
    );
    // A model that is named does not need the variable.
    let model = root().join("models/tabletop").display().to_string();
    succeeded(with(
        "/no/such",
        &[&find[..], &["--model", &model]].concat(),
    ));
    let output = with("", &[&find[..], &["--model", "/nowhere"]].concat());
    refused(&output, "/nowhere");
    assert!(
        !errors(&output).contains("MDETR_MODEL"),
        "{}",
        errors(&output)
    );
}
