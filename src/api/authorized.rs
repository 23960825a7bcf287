//! The operations a caller may do on a resource, as the bits that answers carry.
//!
//! Without an authorizer everybody may do everything that the resource knows
//! (`AuthHelper.authorizedOperations` and `AclEntry.supportedOperations`, 4.3.1). A bit's number is
//! the operation's code.

/// The field's value where the client did not ask.
pub(super) const NOT_ASKED: i32 = i32::MIN;
/// Create, alter, describe, cluster action, describe and alter configs, idempotent write.
pub(super) const ON_CLUSTER: i32 = bits(&[5, 7, 8, 9, 10, 11, 12]);
/// Read, write, create, delete, alter, describe, describe and alter configs.
pub(super) const ON_TOPIC: i32 = bits(&[3, 4, 5, 6, 7, 8, 10, 11]);

const fn bits(codes: &[u32]) -> i32 {
    let mut all = 0;
    let mut place = 0;
    while place < codes.len() {
        all |= 1 << codes[place];
        place += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_a_broker_sends() {
        assert_eq!((ON_TOPIC, ON_CLUSTER), (3576, 8096));
    }
}
