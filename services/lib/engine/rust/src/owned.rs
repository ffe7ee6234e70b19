//! What one engine owns: ranges of addresses, with pins that place single accounts elsewhere or here.

use crate::bytes::Reader;
use alloy_primitives::{Address, map::AddressSet};

#[derive(Default)]
pub struct Owned {
    /// Sorted, bounds inclusive.
    ranges: Vec<(Address, Address)>,
    pins_in: AddressSet,
    pins_out: AddressSet,
}

impl Owned {
    /// Owns every account; for the conformance tests.
    pub fn everything() -> Self {
        Self { ranges: vec![(Address::ZERO, Address::repeat_byte(0xff))], ..Self::default() }
    }

    /// Layout: u32 ranges, (b20 first, b20 last)*, u32 pinsIn, b20*, u32 pinsOut, b20*.
    pub fn unpack(packed: &[u8]) -> Self {
        let mut reader = Reader::new(packed);
        let mut ranges: Vec<_> = (0..reader.u32()).map(|_| (reader.address(), reader.address())).collect();
        ranges.sort_unstable();
        let pins_in = (0..reader.u32()).map(|_| reader.address()).collect();
        let pins_out = (0..reader.u32()).map(|_| reader.address()).collect();
        Self { ranges, pins_in, pins_out }
    }

    /// A pin beats a range.
    #[inline]
    pub fn contains(&self, address: &Address) -> bool {
        if !self.pins_in.is_empty() && self.pins_in.contains(address) {
            return true;
        }
        let next = self.ranges.partition_point(|(first, _)| first <= address);
        let in_range = next > 0 && self.ranges[next - 1].1 >= *address;
        in_range && (self.pins_out.is_empty() || !self.pins_out.contains(address))
    }
}
