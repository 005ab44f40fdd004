//! Order and repeats of deliveries, proven by the log of a shop.
//!
//! The object and the digest of the body identify a job, so all bodies of one object must differ.

use std::collections::{HashMap, HashSet};

use crate::shop::Write;

/// The identity of a job: type, id, digest of the body.
pub type JobMark = (String, String, String);

/// The jobs of each partition key, in the order of their acceptance.
#[derive(Clone, Debug, Default)]
pub struct AcceptedOrder {
    places: HashMap<JobMark, (String, u64)>,
    next: HashMap<String, u64>,
}

/// Counts of violations and of repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Jobs whose first delivery preceded the first delivery of an earlier job of their key.
    pub inversions: u64,
    /// Jobs without a successful write.
    pub never_taken: u64,
    /// Writes with the object and the key of an earlier write.
    pub repeated_same_key: u64,
    /// Writes with the object and the bytes of an earlier write, under another key.
    pub repeated_other_key: u64,
}

impl AcceptedOrder {
    /// Adds a job after the other jobs of its key.
    pub fn push(&mut self, key: &str, object_type: &str, id: &str, digest: &str) {
        let next = self.next.entry(key.to_owned()).or_default();
        let mark = (object_type.to_owned(), id.to_owned(), digest.to_owned());
        let before = self.places.insert(mark, (key.to_owned(), *next));
        debug_assert!(before.is_none(), "the bodies of one object must differ");
        *next += 1;
    }

    /// Compares the log with the order.
    #[must_use]
    pub fn judge(&self, writes: &[Write]) -> Delivered {
        let mut taken = HashSet::new();
        let mut keys_seen: HashMap<JobMark, HashSet<&str>> = HashMap::new();
        let mut firsts: HashMap<&str, Vec<u64>> = HashMap::new();
        let mut found = Delivered::default();
        for write in writes {
            let Some(digest) = &write.digest else {
                continue;
            };
            let mark = (write.object_type.clone(), write.id.clone(), digest.clone());
            let known = keys_seen.entry(mark.clone()).or_default();
            if known.is_empty()
                && let Some((key, place)) = self.places.get(&mark)
            {
                firsts.entry(key).or_default().push(*place);
            }
            let key = write.idempotency_key.as_deref().unwrap_or_default();
            if known.contains(key) {
                found.repeated_same_key += 1;
            } else {
                found.repeated_other_key += u64::from(!known.is_empty());
                known.insert(key);
            }
            if (200..300).contains(&write.status) {
                taken.insert(mark);
            }
        }
        found.inversions = firsts.values().map(|places| inversions(places)).sum();
        found.never_taken = self
            .places
            .keys()
            .filter(|mark| !taken.contains(*mark))
            .count() as u64;
        found
    }
}

/// `places` are in the order of first delivery. Counts those that precede a lower one.
fn inversions(places: &[u64]) -> u64 {
    let mut lowest_after = u64::MAX;
    let mut count = 0;
    for place in places.iter().rev() {
        count += u64::from(*place > lowest_after);
        lowest_after = lowest_after.min(*place);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(id: &str, digest: &str, key: &str, status: u16) -> Write {
        Write {
            seq: 0,
            call: 0,
            object_type: "brand".to_owned(),
            id: id.to_owned(),
            action: Some("upsert".to_owned()),
            idempotency_key: Some(key.to_owned()),
            digest: Some(digest.to_owned()),
            applied: true,
            replayed: false,
            status,
        }
    }

    fn order() -> AcceptedOrder {
        let mut order = AcceptedOrder::default();
        for digest in ["1", "2", "3"] {
            order.push("k", "brand", "a", digest);
        }
        order
    }

    #[test]
    fn clean_log_is_clean() {
        let writes = [
            write("a", "1", "k1", 503),
            write("a", "1", "k1", 200),
            write("a", "2", "k2", 200),
            write("a", "3", "k3", 200),
        ];
        assert_eq!(
            order().judge(&writes),
            Delivered {
                repeated_same_key: 1,
                ..Delivered::default()
            }
        );
    }

    #[test]
    fn early_job_counts_even_if_refused() {
        let writes = [
            write("a", "1", "k1", 200),
            write("a", "3", "k3", 503),
            write("a", "2", "k2", 200),
            write("a", "3", "k3", 200),
        ];
        assert_eq!(
            order().judge(&writes),
            Delivered {
                inversions: 1,
                repeated_same_key: 1,
                ..Delivered::default()
            }
        );
    }

    #[test]
    fn missing_jobs_and_other_keys_are_counted() {
        let writes = [
            write("a", "1", "k1", 200),
            write("a", "1", "x", 200),
            write("a", "2", "k2", 503),
        ];
        assert_eq!(
            order().judge(&writes),
            Delivered {
                never_taken: 2,
                repeated_other_key: 1,
                ..Delivered::default()
            }
        );
    }
}
