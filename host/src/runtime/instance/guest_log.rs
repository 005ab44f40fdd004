//! The log lines of one call: lines that a guest logs, and lines that it writes to standard output
//! and error. Their number and length are bounded, whatever the guest does.
//!
//! A line is redacted up to its cut and a secret's length beyond. So no half of a secret survives,
//! and the cost depends on the bytes kept, not on the bytes written.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::runtime::connector_call::{LogLevel, LogLine};
use crate::runtime::guest_abilities::{Abilities, NoAbilities};
use crate::runtime::runtime_settings::LogBounds;

/// Attributes kept of one line.
const MAX_ATTRS: usize = 16;
/// Bytes kept of an attribute's key or value.
const MAX_ATTR_BYTES: usize = 256;

/// The lines of the current call. The imports and the output streams of one instance share it.
#[derive(Clone)]
pub struct GuestLog {
    inner: Arc<Mutex<Lines>>,
}

struct Lines {
    bounds: LogBounds,
    redactor: Arc<dyn Abilities>,
    lines: Vec<LogLine>,
    bytes: usize,
    dropped: u64,
    /// The unfinished line of standard output and of standard error.
    partial: [Vec<u8>; 2],
}

impl GuestLog {
    pub fn new(bounds: LogBounds) -> Self {
        let lines = Lines {
            bounds,
            redactor: Arc::new(NoAbilities),
            lines: Vec::new(),
            bytes: 0,
            dropped: 0,
            partial: [Vec::new(), Vec::new()],
        };
        Self {
            inner: Arc::new(Mutex::new(lines)),
        }
    }

    /// Starts a call, whose secrets are masked from now on.
    pub fn begin(&self, redactor: Arc<dyn Abilities>) {
        self.with(|lines| lines.redactor = redactor);
    }

    pub fn push(&self, level: LogLevel, message: &str, item: Option<u32>, attrs: &[(&str, &str)]) {
        self.with(|lines| lines.push(level, message, item, attrs));
    }

    /// The last warnings, which hold the place and message of a panic. Empty if there are none.
    pub fn last_words(&self) -> String {
        const LINES: usize = 2;
        /// Rust's runtime ends each panic with this advice, which is useless here.
        const ADVICE: &str = "note: run with `RUST_BACKTRACE";
        self.with(|lines| {
            lines.finish_partial();
            let warnings =
                lines.lines.iter().rev().filter(|line| {
                    line.level == LogLevel::Warn && !line.message.starts_with(ADVICE)
                });
            let mut words: Vec<&str> = warnings
                .take(LINES)
                .map(|line| line.message.as_str())
                .collect();
            words.reverse();
            words.join(" ")
        })
    }

    /// Ends the call and returns its lines, with a note if some were dropped.
    pub fn take(&self) -> Vec<LogLine> {
        self.with(|lines| {
            lines.finish_partial();
            lines.bytes = 0;
            lines.redactor = Arc::new(NoAbilities);
            let mut taken = std::mem::take(&mut lines.lines);
            let dropped = std::mem::take(&mut lines.dropped);
            if dropped > 0 {
                taken.push(LogLine {
                    level: LogLevel::Warn,
                    message: format!("… {dropped} lines dropped"),
                    item: None,
                    attrs: Vec::new(),
                });
            }
            taken
        })
    }

    pub fn stream(&self, which: Stream) -> GuestLogStream {
        GuestLogStream {
            log: self.clone(),
            which,
        }
    }

    fn with<R>(&self, act: impl FnOnce(&mut Lines) -> R) -> R {
        act(&mut self.inner.lock())
    }
}

impl Lines {
    fn push(&mut self, level: LogLevel, message: &str, item: Option<u32>, attrs: &[(&str, &str)]) {
        if self.lines.len() >= self.bounds.lines as usize || self.bytes >= self.bounds.total_bytes {
            self.dropped += 1;
            return;
        }
        let kept = |text: &str, most: usize| cut(self.redactor.redact(text, most), most);
        let message = kept(message, self.bounds.line_bytes);
        let attrs: Vec<(String, String)> = attrs
            .iter()
            .take(MAX_ATTRS)
            .map(|(key, value)| (kept(key, MAX_ATTR_BYTES), kept(value, MAX_ATTR_BYTES)))
            .collect();
        let size = message.len()
            + attrs
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum::<usize>();
        if self.bytes + size > self.bounds.total_bytes {
            self.dropped += 1;
            return;
        }
        self.bytes += size;
        self.lines.push(LogLine {
            level,
            message,
            item,
            attrs,
        });
    }

    fn write(&mut self, which: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let partial = &mut self.partial[which as usize];
            let room = self.bounds.total_bytes.saturating_sub(partial.len());
            partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.finish_line(which);
            }
        }
    }

    fn finish_line(&mut self, which: Stream) {
        let bytes = std::mem::take(&mut self.partial[which as usize]);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        if !text.is_empty() {
            self.push(which.level(), text, None, &[]);
        }
    }

    fn finish_partial(&mut self) {
        self.finish_line(Stream::Output);
        self.finish_line(Stream::Error);
    }
}

/// Cuts `text` at a character boundary to at most `max_bytes`.
pub fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        text.truncate(text.floor_char_boundary(max_bytes));
    }
    text
}

/// One of the two output streams.
#[derive(Clone, Copy)]
pub enum Stream {
    Output,
    Error,
}

impl Stream {
    const fn level(self) -> LogLevel {
        match self {
            Self::Output => LogLevel::Info,
            Self::Error => LogLevel::Warn,
        }
    }
}

/// An output stream that writes to the log. It is always ready and never makes a guest wait.
#[derive(Clone)]
pub struct GuestLogStream {
    log: GuestLog,
    which: Stream,
}

impl IsTerminal for GuestLogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestLogStream {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // Only WASI 0.3 asks for this form, and it is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for GuestLogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.with(|lines| lines.write(self.which, &bytes));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        const CHUNK_BYTES: usize = 64 * 1024;
        Ok(CHUNK_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for GuestLogStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> LogBounds {
        LogBounds {
            lines: 3,
            line_bytes: 5,
            total_bytes: 12,
        }
    }

    #[test]
    fn log_bounds_number_length_and_sum_of_lines() {
        let log = GuestLog::new(bounds());
        for line in ["aaaaaaa", "bé́éé", "cc", "dd"] {
            log.push(LogLevel::Info, line, None, &[]);
        }
        let lines = log.take();
        assert_eq!(lines[0].message, "aaaaa");
        assert!(lines[1].message.len() <= 5 && "bé́éé".starts_with(&lines[1].message));
        assert_eq!(
            lines.last().map(|l| l.message.as_str()),
            Some("… 1 lines dropped")
        );
        assert!(log.take().is_empty(), "the next call starts with none");
    }

    #[test]
    fn log_takes_lines_and_last_words_from_standard_error() {
        let log = GuestLog::new(LogBounds::default());
        let mut stream = log.stream(Stream::Error);
        stream.write(Bytes::from_static(b"one\ntw")).ok();
        stream.write(Bytes::from_static(b"o")).ok();
        assert_eq!(log.last_words(), "one two");
        assert_eq!(log.take().len(), 2);
    }
}
