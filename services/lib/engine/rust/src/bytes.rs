//! Little-endian reading and writing of packed buffers; the layouts stand in `services/lib/core/src`.

use alloy_primitives::{Address, B256, U256};

/// A cursor over a packed buffer. Running over its end is a bug of the caller, so it panics.
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn is_done(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub fn take(&mut self, length: usize) -> &'a [u8] {
        assert!(self.bytes.len() - self.at >= length, "packed buffer ends too early");
        let part = &self.bytes[self.at..self.at + length];
        self.at += length;
        part
    }

    /// Everything up to the end.
    pub fn rest(&mut self) -> &'a [u8] {
        self.take(self.bytes.len() - self.at)
    }

    pub fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    pub fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.array())
    }

    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }

    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    pub fn address(&mut self) -> Address {
        Address::from_slice(self.take(20))
    }

    pub fn b256(&mut self) -> B256 {
        B256::from_slice(self.take(32))
    }

    /// Numbers of the EVM stand big-endian, as the EVM sees them.
    pub fn u256(&mut self) -> U256 {
        U256::from_be_slice(self.take(32))
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.take(N).try_into().expect("take gives exactly N bytes")
    }
}

/// Appending to a packed buffer.
pub trait Packed {
    fn put_u8(&mut self, value: u8);
    fn put_u16(&mut self, value: u16);
    fn put_u32(&mut self, value: u32);
    fn put_u64(&mut self, value: u64);
    fn put_u256(&mut self, value: &U256);
    fn put(&mut self, bytes: &[u8]);
}

impl Packed for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u256(&mut self, value: &U256) {
        self.extend_from_slice(&value.to_be_bytes::<32>());
    }

    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}
