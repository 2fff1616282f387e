//! Requests that another program makes from the OpenAPI document.

use super::*;

/// Fixes what random names would never meet.
const KNOWN: &str = r#"
[parameters]
"path.camera" = "gate"
"path.rule" = "no-helmet"
"path.id" = "1767608103.123-gate-no-helmet-1"
"path.file" = "index.html"
"header.if-match" = "*"
"#;

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

async fn bench() -> Bench {
    let limits = Limits {
        rate: 1e6,
        burst: 1e6,
        ..Limits::default()
    };
    let bench = Bench::with("", limits).await;
    for number in 1..=3 {
        bench
            .event(&format!("1767608103.123-gate-no-helmet-{number}"))
            .await;
    }
    bench
}

/// Runs the program of `MDETR_SCHEMATHESIS`, or `schemathesis`.
async fn schemathesis(bench: &Bench, more: &[&str]) {
    let program = std::env::var("MDETR_SCHEMATHESIS").unwrap_or("schemathesis".to_owned());
    let config = bench.directory.path().join("schemathesis.toml");
    let mut command = tokio::process::Command::new(program);
    if config.exists() {
        command.arg("--config-file").arg(config);
    }
    let run = command
        .args(["run", "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing"])
        .args(["--max-examples", "30", "--seed", "7"])
        .args(["--request-timeout", "10", "--continue-on-failure"])
        // They do not end.
        .args(["--exclude-path", "/api/live"])
        .args(["--exclude-path", "/api/cameras/{camera}/stream.mjpg"])
        .args(["--generation-database", "none", "--no-color"])
        .args(more)
        .args(["--url", &bench.url(""), &bench.url("/api/openapi.json")])
        .current_dir(bench.directory.path())
        .output();
    let run = run.await.expect("schemathesis: pip install schemathesis");
    let told = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    println!("{told}");
    assert!(run.status.success(), "{told}");
    bench.json("/api/status").await;
}

#[tokio::test]
#[ignore = "needs schemathesis"]
async fn no_request_of_the_document_is_a_fault_of_the_program() {
    schemathesis(&bench().await, &[]).await;
}

#[tokio::test]
#[ignore = "needs schemathesis"]
async fn no_request_for_what_there_is_is_a_fault_of_the_program() {
    let bench = bench().await;
    std::fs::write(bench.directory.path().join("schemathesis.toml"), KNOWN).unwrap();
    schemathesis(&bench, &["--exclude-method", "DELETE"]).await;
}
