//! Lines on a stream, bounded.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub(super) enum LineError {
    /// The stream ended where a line should begin.
    #[error("it ended without a word")]
    Ended,
    /// The stream ended before the line did.
    #[error("it ended in the middle of a line")]
    Torn,
    /// The line is longer than it may be.
    #[error("a line is longer than the {0} bytes that one may have")]
    TooLong(usize),
    /// The stream cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Reads one line of at most `limit` bytes, and takes its end off.
pub(super) async fn line<R: AsyncBufRead + Unpin>(reader: &mut R, limit: usize) -> Result<Vec<u8>, LineError> {
    let mut line = Vec::new();
    // One more byte, for the line's end.
    reader.take(limit as u64 + 1).read_until(b'\n', &mut line).await?;
    if line.last() == Some(&b'\n') {
        line.pop();
        Ok(line)
    } else if line.len() > limit {
        Err(LineError::TooLong(limit))
    } else if line.is_empty() {
        Err(LineError::Ended)
    } else {
        Err(LineError::Torn)
    }
}

/// A reader that takes no more than it is asked for in one go, for streams of which only a line is read.
pub(super) fn buffered<R: tokio::io::AsyncRead>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(4096, reader)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_read_up_to_its_limit_and_no_further() {
        let mut stream = &b"abc\n\nabcd\n"[..];
        assert_eq!(line(&mut stream, 3).await.unwrap(), b"abc");
        assert_eq!(line(&mut stream, 3).await.unwrap(), b"");
        assert!(matches!(line(&mut stream, 3).await, Err(LineError::TooLong(3))));
        assert!(matches!(line(&mut &b"ab"[..], 3).await, Err(LineError::Torn)));
        assert!(matches!(line(&mut &b""[..], 3).await, Err(LineError::Ended)));
    }
}
