//! Work that may take long: looking through all processes, reading the journal, looking names up.

/// Does it on a thread of its own, which ends with it, while others get their turn.
///
/// # Errors
/// When the system gives no thread.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<T> {
    let (sender, outcome) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("look".to_owned()).stack_size(256 << 10).spawn(move || {
        // Whoever asked may have stopped waiting.
        let _ = sender.send(work());
    })?;
    outcome.await.map_err(|_| std::io::Error::other("the thread that looked for it panicked"))
}
