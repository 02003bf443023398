//! System description tables for tests.

use super::support::fix_sum;

/// Returns a table with the right length and checksum.
pub fn sdt(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut table = vec![0; 36];
    table[..4].copy_from_slice(signature);
    table[8] = 1;
    table.extend_from_slice(body);
    let length = (table.len() as u32).to_le_bytes();
    table[4..8].copy_from_slice(&length);
    fix_sum(&mut table, 9);
    table
}
