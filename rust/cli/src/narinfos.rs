//! Many narinfos in one stream, between blank lines; one at a time is in memory.

use nixcert_core::{NarInfo, StorePath};
use std::io::{self, BufRead};

/// The longest narinfo that is read: 65,536 signatures of 400 bytes, and room.
pub(crate) const NARINFO_BYTES: usize = 32 * 1024 * 1024;

/// The text of one narinfo, or its beginning, if it is longer than any.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// Where it begins, counted from 1.
    pub(crate) line: u64,
    bytes: Vec<u8>,
    too_long: bool,
}

impl Block {
    /// Read it as a narinfo; the error says why it is none.
    pub(crate) fn parse(&self) -> Result<NarInfo, String> {
        if self.too_long {
            return Err(format!("it is longer than {NARINFO_BYTES} bytes, which no narinfo is"));
        }
        let text = std::str::from_utf8(&self.bytes).map_err(|_| "it is not text (UTF-8)".to_owned())?;
        NarInfo::parse(text).map_err(|error| error.to_string())
    }

    /// The store path that a narinfo names which cannot be read.
    pub(crate) fn path_claimed(&self) -> Option<String> {
        let value =
            self.bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"StorePath: "))?;
        StorePath::parse(std::str::from_utf8(value).ok()?).ok().map(|path| path.to_string())
    }
}

/// Iterator over the narinfos of a stream.
pub(crate) struct Blocks<R> {
    reader: R,
    line: u64,
}

impl<R: BufRead> Blocks<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, line: 1 }
    }

    fn read_block(&mut self) -> io::Result<Option<Block>> {
        let mut block = Block { line: self.line, bytes: Vec::new(), too_long: false };
        let mut at_line_start = true;
        loop {
            let available = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            if available.is_empty() {
                return Ok(if block.bytes.is_empty() && !block.too_long { None } else { Some(block) });
            }
            let end = available.iter().position(|byte| *byte == b'\n').map_or(available.len(), |at| at + 1);
            let part = available.get(..end).unwrap_or_default();
            let ends_line = part.ends_with(b"\n");
            let blank = at_line_start && part == b"\n";
            if !blank {
                if block.bytes.len().saturating_add(part.len()) > NARINFO_BYTES {
                    block.too_long = true;
                } else if !block.too_long {
                    block.bytes.extend(part);
                }
            }
            self.reader.consume(end);
            self.line = self.line.saturating_add(u64::from(ends_line));
            match (blank, block.bytes.is_empty() && !block.too_long) {
                (true, true) => block.line = self.line,
                (true, false) => return Ok(Some(block)),
                (false, _) => at_line_start = ends_line,
            }
        }
    }
}

impl<R: BufRead> Iterator for Blocks<R> {
    type Item = io::Result<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_block().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &[u8], buffer: usize) -> Vec<(u64, Vec<u8>)> {
        let reader = io::BufReader::with_capacity(buffer, text);
        Blocks::new(reader).map(|block| block.unwrap()).map(|block| (block.line, block.bytes)).collect()
    }

    #[test]
    fn blank_lines_part() {
        for buffer in [1, 2, 3, 100] {
            let text = b"\n\na\nb\n\n\nc\n\n";
            assert_eq!(blocks(text, buffer), [(3, b"a\nb\n".to_vec()), (7, b"c\n".to_vec())]);
            assert_eq!(blocks(b"a\n\nb", buffer), [(1, b"a\n".to_vec()), (3, b"b".to_vec())]);
            assert_eq!(blocks(b"", buffer), []);
            assert_eq!(blocks(b"\n\n", buffer), []);
        }
    }

    #[test]
    fn too_long_is_refused_and_what_follows_is_read() {
        let mut text = vec![b'x'; NARINFO_BYTES + 1];
        text.extend(b"\n\nb\n");
        let blocks: Vec<Block> = Blocks::new(text.as_slice()).map(|block| block.unwrap()).collect();
        assert_eq!(blocks.len(), 2);
        assert!(blocks[0].parse().unwrap_err().contains("longer"));
        assert_eq!((blocks[1].line, blocks[1].bytes.as_slice()), (3, b"b\n".as_slice()));
    }
}
