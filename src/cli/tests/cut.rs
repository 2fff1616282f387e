//! Files of lines whose last was cut short, or is damaged.

mod common;

use std::fs;

use common::{code, errors, refused, run, scene, succeeded};
use serde_json::Value;

#[test]
fn lines_that_are_whole_are_summed_up_and_scored() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let frame = |n: u32| {
        format!(
            "{{\"schema\":\"mdetr/1\",\"source\":\"\",\"frame\":{n},\"size\":[4,4],\"revision\":1,\"queries\":\
             [{{\"id\":\"q1\",\"text\":\"a cube\",\"present\":true,\"detections\":[{{\"box\":[0,0,2,2],\
             \"score\":0.9,\"track\":1,\"phrases\":[]}}]}}]}}\n"
        )
    };
    let whole = [frame(0), frame(1)].concat();
    let third = frame(2);
    for cut in ["", "\n", "\r\n\n", &third[..90], &third[..third.len() - 1]] {
        fs::write(dir.join("out.jsonl"), format!("\u{feff}{whole}{cut}")).unwrap();
        let output = run(dir, "summary out.jsonl");
        let warned =
            errors(&output).contains("out.jsonl: line 3, the last, was cut short and is left out");
        assert_eq!(warned, cut.len() == 90, "{}", errors(&output));
        let said = succeeded(output);
        let frames = if cut.len() > 90 { 3 } else { 2 };
        assert!(
            said.contains(&format!("present in {frames} of {frames} frames")),
            "{said}"
        );

        let truth =
            "{\"frame\":0,\"objects\":[{\"object\":1,\"bbox\":[0,0,2,2]}]}\r\n\n{\"frame\":1,\"obj";
        fs::write(dir.join("truth.jsonl"), truth).unwrap();
        let output = run(
            dir,
            "eval tracking --truth truth.jsonl --found out.jsonl --json",
        );
        assert!(errors(&output).contains("truth.jsonl: line 3, the last, was cut short"));
        let report: Value = serde_json::from_str(&succeeded(output)).unwrap();
        assert_eq!(
            (&report["frames"], &report["mota"]),
            (&1.into(), &1.0.into())
        );
    }
    let damaged = format!("{}{}{}", frame(0), &third[..90], frame(1));
    fs::write(dir.join("out.jsonl"), damaged + &third).unwrap();
    let output = run(dir, "summary out.jsonl");
    assert_eq!(code(&output), 1, "some of it is left out");
    assert!(errors(&output).contains("1 damaged lines are left out, the first is line 2, column"));
    assert!(String::from_utf8_lossy(&output.stdout).contains("present in 2 of 2 frames"));
    let output = run(dir, "eval tracking --truth truth.jsonl --found out.jsonl");
    assert_eq!(code(&output), 2);
    refused(&output, "out.jsonl: line 2, column");
    refused(&output, "remove this line");
    let output = run(dir, "summary /dev/null");
    assert_eq!(succeeded(output), "/dev/null: 0 frames\n");
    fs::copy(scene(), dir.join("a.png")).unwrap();
    let output = run(dir, "summary a.png");
    assert_eq!(code(&output), 2);
    refused(&output, "a.png: no line of schema mdetr/1");
}

#[test]
fn a_run_whose_last_prediction_was_cut_goes_on_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::copy(scene(), dir.join("a.png")).unwrap();
    let image = |id: u32| {
        format!(
            "{{\"id\":{id},\"file_name\":\"a.png\",\"height\":192,\"width\":256,\"caption\":\"a cube\",\
             \"dataset_name\":\"refcoco\"}}"
        )
    };
    let annotation = |id: u32| {
        format!("{{\"id\":{id},\"image_id\":{id},\"bbox\":[0,0,9,9],\"tokens_positive\":[[0,6]]}}")
    };
    let truth = format!(
        "\u{feff}{{\"images\":[{},{}],\"annotations\":[{},{}]}}",
        image(1),
        image(2),
        annotation(1),
        annotation(2)
    );
    fs::write(dir.join("truth.json"), truth).unwrap();
    let line = "eval rec --predictions p.jsonl --annotations truth.json --images . --json";
    let whole = succeeded(run(dir, line));
    let predictions = fs::read_to_string(dir.join("p.jsonl")).unwrap();
    let (first, second) = predictions.split_once('\n').unwrap();
    for rest in [&second[..second.len() / 2], "{", "{\"id\":\"2\"\0\0\0"] {
        fs::write(dir.join("p.jsonl"), format!("{first}\n{rest}")).unwrap();
        let part = run(
            dir,
            "eval rec --predictions p.jsonl --annotations truth.json --partial",
        );
        refused(
            &run(
                dir,
                "eval rec --predictions p.jsonl --annotations truth.json",
            ),
            "1 of 2 samples",
        );
        assert!(
            errors(&part).contains("p.jsonl: line 2, the last, was cut short"),
            "{}",
            errors(&part)
        );
        let output = run(dir, line);
        assert!(errors(&output).contains("p.jsonl: line 2, the last, was cut short"));
        assert_eq!(succeeded(output), whole);
        assert_eq!(
            fs::read_to_string(dir.join("p.jsonl")).unwrap(),
            predictions
        );
    }
    let torn = format!("{first}\n{}{second}", &second[..20]);
    fs::write(dir.join("p.jsonl"), &torn).unwrap();
    let output = run(dir, line);
    assert_eq!(code(&output), 2);
    refused(&output, "p.jsonl: line 2, column");
    refused(&output, "remove this line");
    assert_eq!(fs::read_to_string(dir.join("p.jsonl")).unwrap(), torn);
}
