//! What must hold of nixcert on *any* input: not only that it does not crash. `cargo xtask fuzz` looks for an input on which
//! one of these does not hold; the tests of `rust/host` try some thousands.
//!
//! Nothing in here holds a secret key that anything trusts: whatever was signed, was signed when the vectors were made. So what
//! is accepted was made then, byte for byte.

mod decision;
mod formats;
mod gate;
mod slow;
mod vectors;

/// Something that reads what others wrote.
pub struct Target {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Try one input. Says whether it was accepted: something that never is shows nothing.
    property: fn(&[u8]) -> bool,
    /// Inputs to begin with, from the vectors.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Longer inputs are cut off: they show nothing new, and take longer.
pub const LONGEST: usize = 1 << 16;

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "name", property: formats::name, seeds: formats::name_seeds },
    Target { name: "certificate", property: formats::certificate, seeds: formats::certificate_seeds },
    Target { name: "request", property: formats::request, seeds: formats::request_seeds },
    Target { name: "list", property: formats::list, seeds: formats::list_seeds },
    Target { name: "statement", property: formats::statement, seeds: formats::statement_seeds },
    Target { name: "policy", property: formats::policy, seeds: formats::policy_seeds },
    Target { name: "narinfo", property: formats::narinfo, seeds: formats::narinfo_seeds },
    Target { name: "object", property: formats::object, seeds: formats::object_seeds },
    Target { name: "decision", property: decision::decision, seeds: decision::seeds },
    Target { name: "gate", property: gate::gate, seeds: gate::seeds },
];

impl Target {
    /// Try one input. Says whether it was accepted.
    ///
    /// # Panics
    /// If something does not hold.
    pub fn check(&self, data: &[u8]) -> bool {
        (self.property)(data.get(..LONGEST).unwrap_or(data))
    }
}

/// What any input may cost, in bytes asked of the allocator.
const ALLOWANCE: usize = 1 << 14;

/// Do something that may ask the allocator for so many bytes for each byte of input, and not for much more. That is a bound
/// that is the same on every machine, as no clock would be.
fn bounded<T>(input: usize, bytes_per_byte: usize, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let cost = allocation_counter::measure(|| result = Some(work())).bytes_total;
    let allowed = ALLOWANCE + bytes_per_byte * input;
    assert!(cost <= allowed as u64, "{input} bytes of input cost {cost} bytes, and may {allowed}");
    result.expect("the work was done")
}
