//! Bodies that misbehave: slow, short, huge, and small ones that grow when they are decompressed.

use std::{convert::Infallible, io, time::Duration};

use bytes::Bytes;
use flate2::{Compress, Compression, Crc, FlushCompress};
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How long a short body stays open, so that what was sent of it reaches the peer before the end does.
const SETTLE: Duration = Duration::from_millis(30);
const CHUNK: u64 = 1 << 20;

/// A body as it should be.
pub(crate) fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body in small pieces.
pub(crate) fn drip(bytes: Bytes, piece: usize, interval: Duration) -> Body {
    let pieces = stream::unfold(bytes, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(interval).await;
        let next = rest.split_to(piece.clamp(1, rest.len()));
        Some((Ok(Frame::data(next)), rest))
    });
    StreamBody::new(pieces).boxed_unsync()
}

/// A body that breaks off.
pub(crate) fn short(bytes: Bytes) -> Body {
    let parts = stream::unfold(Some(bytes), |rest| async move {
        match rest {
            Some(rest) if !rest.is_empty() => Some((Ok(Frame::data(rest)), Some(Bytes::new()))),
            Some(_) => {
                tokio::time::sleep(SETTLE).await;
                Some((Err(io::ErrorKind::ConnectionAborted.into()), None))
            }
            None => None,
        }
    });
    StreamBody::new(parts).boxed_unsync()
}

/// A body of that many blanks.
pub(crate) fn blanks(bytes: u64) -> Body {
    let chunk = Bytes::from(vec![b' '; chunk_size()]);
    let chunks = stream::unfold(bytes, move |left| {
        let chunk = chunk.clone();
        async move {
            let next = left.min(CHUNK);
            (next > 0).then(|| (Ok(Frame::data(chunk.slice(..usize::try_from(next).unwrap_or(0)))), left - next))
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}

fn chunk_size() -> usize {
    usize::try_from(CHUNK).expect("a mebibyte fits into memory")
}

/// A gzip file of that many blanks (rounded up to whole mebibytes): one compressed block, repeated.
pub(crate) fn bomb(bytes: u64) -> Body {
    let blanks = vec![b' '; chunk_size()];
    let mut block = Vec::with_capacity(8192);
    // A block that ends with a full flush refers to nothing before it, and so can follow itself.
    Compress::new(Compression::best(), false)
        .compress_vec(&blanks, &mut block, FlushCompress::Full)
        .expect("blanks can be compressed");
    let block = Bytes::from(block);
    let mut of_one = Crc::new();
    of_one.update(&blanks);
    let count = bytes.div_ceil(CHUNK);
    let mut sum = Crc::new();
    (0..count).for_each(|_| sum.combine(&of_one));
    let mut end = vec![0x03, 0x00];
    end.extend(sum.sum().to_le_bytes());
    end.extend(sum.amount().to_le_bytes());
    let header = Bytes::from_static(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
    let last = count + 1;
    let parts = stream::unfold(0, move |step| {
        let part = match step {
            0 => Some(header.clone()),
            step if step < last => Some(block.clone()),
            step if step == last => Some(Bytes::from(end.clone())),
            _ => None,
        };
        async move { part.map(|part| (Ok(Frame::data(part)), step + 1)) }
    });
    StreamBody::new(parts).boxed_unsync()
}

/// At least that many bytes of gzip that decompress to nothing: empty members, one after another.
pub(crate) fn nothing(bytes: u64) -> Body {
    // A header, one empty block, and the sum and the size of nothing.
    const MEMBER: [u8; 20] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let many = Bytes::from(MEMBER.repeat(1024));
    let parts = stream::unfold(bytes, move |left| {
        let many = many.clone();
        async move { (left > 0).then(|| (Ok(Frame::data(many.clone())), left.saturating_sub(many.len() as u64))) }
    });
    StreamBody::new(parts).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[tokio::test]
    async fn a_bomb_is_a_valid_gzip_file() {
        let compressed = bomb(3 << 20).collect().await.expect("a body without errors").to_bytes();
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut text).expect("valid gzip");
        assert_eq!(text.len(), 3 << 20);
        assert!(compressed.len() < 10_000);
    }

    #[tokio::test]
    async fn nothing_is_a_valid_gzip_file_that_holds_nothing() {
        let compressed = nothing(100_000).collect().await.expect("a body without errors").to_bytes();
        assert!(compressed.len() >= 100_000);
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&compressed[..]).read_to_end(&mut text).expect("valid gzip");
        assert_eq!(text.len(), 0);
    }
}
