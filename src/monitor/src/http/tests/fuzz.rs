//! Requests that another program makes from the OpenAPI document.

use super::*;

/// Runs `schemathesis` of `MDETR_SCHEMATHESIS`, or of the path.
#[tokio::test]
#[ignore = "needs schemathesis"]
async fn no_request_of_the_document_is_a_fault_of_the_program() {
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
    let program = std::env::var("MDETR_SCHEMATHESIS").unwrap_or("schemathesis".to_owned());
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_headers_conformance,response_schema_conformance";
    let run = tokio::process::Command::new(program)
        .args([
            "run",
            "--checks",
            checks,
            "--phases",
            "examples,coverage,fuzzing",
        ])
        .args([
            "--max-examples",
            "30",
            "--seed",
            "7",
            "--request-timeout",
            "10",
        ])
        // They do not end.
        .args(["--exclude-path", "/api/live"])
        .args(["--exclude-path", "/api/cameras/{camera}/stream.mjpg"])
        .args(["--generation-database", "none", "--no-color"])
        .args(["--url", &bench.url(""), &bench.url("/api/openapi.json")])
        .current_dir(bench.directory.path())
        .output();
    let run = run.await.expect("schemathesis: pip install schemathesis");
    let told = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{told}");
    bench.json("/api/status").await;
}
