use super::*;

use std::os::unix::net::UnixListener;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A daemon that answers one connection with these bytes and closes it.
fn daemon(socket: &Path, answer: &'static [u8]) -> JoinHandle<String> {
    let folder = File::open(socket.parent().expect("parent")).expect("folder");
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join("d.sock");
    let listener = UnixListener::bind(short).expect("bound");
    listener.set_nonblocking(true).expect("non-blocking");
    let listener = tokio::net::UnixListener::from_std(listener).expect("listener");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("accepted");
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.expect("request");
        stream.write_all(answer).await.expect("answered");
        String::from_utf8_lossy(&request[..length]).into_owned()
    })
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime").block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(20), test).await.expect("in time");
    });
}

#[test]
fn answers_come_over_paths_of_any_length() {
    run(async {
        let home = tempfile::tempdir().expect("folder");
        let deep = home.path().join("x".repeat(120));
        std::fs::create_dir(&deep).expect("folder");
        let socket = deep.join("d.sock");
        let daemon = daemon(&socket, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1,2]");
        let answer: Vec<u32> = Client::new(&socket).get_json("/v1/x").await.expect("answer");
        assert_eq!(answer, [1, 2]);
        assert!(daemon.await.expect("daemon").starts_with("GET /v1/x HTTP/1.1\r\n"));
    });
}

#[test]
fn nobody_there_is_exit_code_9() {
    run(async {
        let home = tempfile::tempdir().expect("folder");
        let error = Client::new(home.path().join("d.sock")).get_json::<()>("/v1/x").await.expect_err("nobody");
        assert!(error.is_unreachable());
        assert_eq!(error.exit_code(), ExitCode::Unreachable);
    });
}

#[test]
fn a_refusal_carries_its_exit_code() {
    run(async {
        let home = tempfile::tempdir().expect("folder");
        let socket = home.path().join("d.sock");
        let daemon = daemon(
            &socket,
            b"HTTP/1.1 409 Conflict\r\ncontent-length: 40\r\n\r\n{\"error\":{\"code\":3,\"message\":\"it runs\"}}",
        );
        let error = Client::new(&socket).post_stream::<_, u32>("/v1/x", &7).await.expect_err("refused");
        assert_eq!((error.exit_code(), error.to_string()), (ExitCode::AlreadyRunning, "it runs".to_owned()));
        assert!(daemon.await.expect("daemon").ends_with("\r\n\r\n7"));
    });
}

/// Somebody else who asks for it is told what there is; who is of the same project asks for nothing else.
#[test]
fn a_daemon_of_another_version() {
    run(async {
        let home = tempfile::tempdir().expect("folder");
        let socket = home.path().join("d.sock");
        let body = format!("{{\"error\":{{\"code\":8,\"message\":\"{}\"}}}}", crate::path::nothing_at("/v1/x"));
        let answer = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let daemon = daemon(&socket, answer.leak().as_bytes());
        let error = Client::new(&socket).get_json::<u32>("/v1/x?a=b").await.expect_err("refused");
        assert_eq!(error.exit_code(), ExitCode::Internal);
        assert!(error.to_string().contains("another version"), "{error}");
        daemon.await.expect("daemon");
    });
}

#[test]
fn lines_that_are_cut_off_are_no_end() {
    run(async {
        let home = tempfile::tempdir().expect("folder");
        let socket = home.path().join("d.sock");
        let daemon = daemon(&socket, b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n1\n2\r\n2\r\n3\n\r\n");
        let mut lines = Client::new(&socket).get_stream::<u32>("/v1/x").await.expect("stream");
        assert_eq!(lines.next().await.expect("line"), Some(1));
        assert_eq!(lines.next().await.expect("line"), Some(23));
        let error = lines.next().await.expect_err("the daemon was killed");
        assert_eq!(error.exit_code(), ExitCode::Unreachable);
        assert!(matches!(error, Error::Broken { .. }), "{error}");
        daemon.await.expect("daemon");
    });
}
