//! One stage between the wire and whoever takes an answer: undoes its compression, and counts the bytes on both sides.
//!
//! Both counts have a limit. That on what comes out keeps a small answer from becoming a large one; that on what goes in
//! keeps a server from sending without end what decompresses to nothing.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, HeaderMap};

use super::excerpt;

/// What is asked for in `Accept-Encoding`, and all that is understood.
pub const ACCEPTED: &str = "gzip";

/// How many bytes an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caps {
    /// As it comes over the wire.
    pub compressed: u64,
    /// After decompression.
    pub decompressed: u64,
}

/// Why an answer does not come through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InflateError {
    /// More bytes came than this limit allows.
    #[error("the answer is larger than the limit of {0} bytes")]
    TooLarge(u64),
    /// It is compressed in a way that was not asked for; the text is the server's word for that.
    #[error("it is compressed in a way that was not asked for, \u{201c}{0}\u{201d}")]
    Unknown(String),
    /// It is not what a compressor writes.
    #[error("its compression cannot be undone: {0}")]
    Corrupt(String),
    /// It ends before the compressor's end, or with another checksum than the compressor's.
    #[error("the compressed bytes stop in the middle, or their checksum is wrong")]
    Cut,
    /// What takes the decompressed bytes failed.
    #[error("what came cannot be kept: {0}")]
    Sink(#[source] io::Error),
}

/// Takes an answer's bytes as they come, and passes them on as they were before compression.
#[derive(Debug)]
pub struct Inflater<W: Write> {
    coding: Coding<W>,
    came: u64,
    caps: Caps,
}

#[derive(Debug)]
enum Coding<W: Write> {
    None(Counted<W>),
    Gzip(Box<MultiGzDecoder<Counted<W>>>),
}

/// Passes on at most so many bytes, and remembers what went wrong.
#[derive(Debug)]
struct Counted<W> {
    sink: W,
    left: u64,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
enum Trouble {
    TooLarge,
    Sink(io::Error),
}

impl<W: Write> Inflater<W> {
    /// A stage for an answer with these headers, which passes on to `sink`.
    ///
    /// # Errors
    /// When `Content-Encoding` says something that was not asked for.
    pub fn new(headers: &HeaderMap, caps: Caps, sink: W) -> Result<Self, InflateError> {
        let sink = Counted { sink, left: caps.decompressed, trouble: None };
        let values =
            headers.get_all(CONTENT_ENCODING).into_iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let names: Vec<String> = values
            .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>())
            .filter(|name| !name.is_empty() && name != "identity")
            .collect();
        let coding = match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => Coding::None(sink),
            // RFC 9110, section 8.4.1.3: the two names are one coding.
            ["gzip" | "x-gzip"] => Coding::Gzip(Box::new(MultiGzDecoder::new(sink))),
            _ => return Err(InflateError::Unknown(excerpt(&names.join(", "), &[]))),
        };
        Ok(Self { coding, came: 0, caps })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When they are too many, or are not what a compressor writes, or cannot be passed on. The rest of the answer is of
    /// no use then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), InflateError> {
        self.came = self.came.saturating_add(bytes.len() as u64);
        if self.came > self.caps.compressed {
            return Err(InflateError::TooLarge(self.caps.compressed));
        }
        let written = match &mut self.coding {
            Coding::None(sink) => sink.write_all(bytes),
            Coding::Gzip(decoder) => decoder.write_all(bytes),
        };
        written.map_err(|error| self.explain(&error))
    }

    /// The answer is over: gives the sink back.
    ///
    /// # Errors
    /// When a compressor would have gone on, or the last bytes cannot be passed on.
    pub fn finish(mut self) -> Result<W, InflateError> {
        let finished = match &mut self.coding {
            Coding::None(sink) => sink.flush(),
            Coding::Gzip(decoder) => decoder.try_finish(),
        };
        if let Err(error) = finished {
            return Err(match self.explain(&error) {
                InflateError::Corrupt(_) => InflateError::Cut,
                other => other,
            });
        }
        match self.coding {
            Coding::None(sink) => Ok(sink.sink),
            Coding::Gzip(decoder) => decoder.finish().map(|sink| sink.sink).map_err(|_| InflateError::Cut),
        }
    }

    fn explain(&mut self, error: &io::Error) -> InflateError {
        let sink = match &mut self.coding {
            Coding::None(sink) => sink,
            Coding::Gzip(decoder) => decoder.get_mut(),
        };
        match sink.trouble.take() {
            Some(Trouble::TooLarge) => InflateError::TooLarge(self.caps.decompressed),
            Some(Trouble::Sink(error)) => InflateError::Sink(error),
            None => InflateError::Corrupt(error.to_string()),
        }
    }
}

impl<W: Write> Counted<W> {
    fn keep<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        done.map_err(|error| {
            let kind = error.kind();
            self.trouble = Some(Trouble::Sink(error));
            kind.into()
        })
    }
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() as u64 > self.left {
            // A decoder that is dropped goes on with what it holds.
            (self.trouble, self.left) = (Some(Trouble::TooLarge), 0);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.sink.write(bytes);
        let written = self.keep(written)?;
        self.left -= written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.sink.flush();
        self.keep(flushed)
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use reqwest::header::HeaderValue;

    use super::*;

    const CAPS: Caps = Caps { compressed: 1 << 20, decompressed: 1 << 20 };

    fn coded(names: &[&'static str]) -> HeaderMap {
        names.iter().map(|name| (CONTENT_ENCODING, HeaderValue::from_static(name))).collect()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out when these bytes come in pieces of that size.
    fn through(headers: &HeaderMap, caps: Caps, bytes: &[u8], piece: usize) -> Result<Vec<u8>, InflateError> {
        let mut inflater = Inflater::new(headers, caps, Vec::new())?;
        bytes.chunks(piece).try_for_each(|piece| inflater.push(piece))?;
        inflater.finish()
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_out_whole_however_it_is_cut_in_pieces(
            text in proptest::collection::vec(0_u8..4, 0..5000), piece in 1_usize..600
        ) {
            prop_assert_eq!(&through(&coded(&["gzip"]), CAPS, &gzip(&text), piece).unwrap(), &text);
            prop_assert_eq!(&through(&coded(&[]), CAPS, &text, piece).unwrap(), &text);
        }

        #[test]
        fn no_more_comes_out_than_the_limit_whatever_goes_in(
            size in 0_usize..100_000, limit in 0_u64..100_000, piece in 1_usize..600
        ) {
            let caps = Caps { decompressed: limit, ..CAPS };
            let came = through(&coded(&["gzip"]), caps, &gzip(&vec![b' '; size]), piece);
            if size as u64 <= limit {
                prop_assert_eq!(came.unwrap().len(), size);
            } else {
                prop_assert!(matches!(came, Err(InflateError::TooLarge(at)) if at == limit));
            }
        }

        #[test]
        fn what_was_cut_or_damaged_is_never_taken_for_whole(
            text in proptest::collection::vec(any::<u8>(), 1..2000), cut in any::<prop::sample::Index>(), damage: bool
        ) {
            let mut bytes = gzip(&text);
            let at = cut.index(bytes.len());
            if damage {
                // The first ten bytes are a header, most of which means nothing.
                let at = at.max(10);
                bytes[at] ^= 1;
            } else {
                bytes.truncate(at);
            }
            match through(&coded(&["gzip"]), CAPS, &bytes, 100) {
                Ok(came) => prop_assert!(damage && came == text, "damage to padding that means nothing"),
                Err(error) => prop_assert!(matches!(error, InflateError::Cut | InflateError::Corrupt(_)), "{error}"),
            }
        }
    }

    #[test]
    fn what_decompresses_to_nothing_is_counted_as_it_comes() {
        let nothing = gzip(b"");
        let mut inflater = Inflater::new(&coded(&["gzip"]), Caps { compressed: 1000, ..CAPS }, Vec::new()).unwrap();
        let pushed = std::iter::repeat_with(|| inflater.push(&nothing)).take(1000).position(|done| done.is_err());
        assert_eq!(pushed, Some(1000 / nothing.len()));
        assert!(matches!(inflater.push(b""), Err(InflateError::TooLarge(1000))));
    }

    #[test]
    fn the_limits_are_the_last_sizes_that_are_taken() {
        let exact = Caps { compressed: 5, decompressed: 5 };
        assert_eq!(through(&coded(&[]), exact, b"12345", 2).unwrap(), b"12345");
        assert!(matches!(through(&coded(&[]), exact, b"123456", 2), Err(InflateError::TooLarge(5))));
    }

    #[test]
    fn only_what_was_asked_for_is_understood_and_anything_else_is_named() {
        for name in ["identity", "", "gzip", "GZIP", "x-gzip", "identity, gzip"] {
            assert!(Inflater::new(&coded(&[name]), CAPS, Vec::new()).is_ok(), "{name}");
        }
        for names in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "br"]] {
            let error = Inflater::new(&coded(names), CAPS, Vec::new()).unwrap_err();
            assert!(error.to_string().contains(names[0]), "{error}");
        }
    }

    #[test]
    fn a_sink_that_fails_is_told_from_an_answer_that_does() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut inflater = Inflater::new(&coded(&["gzip"]), CAPS, Full).unwrap();
        let error = inflater.push(&gzip(&[7; 100_000])).and_then(|()| inflater.finish().map(drop)).unwrap_err();
        assert!(matches!(&error, InflateError::Sink(why) if why.kind() == io::ErrorKind::StorageFull), "{error}");
    }
}
