//! The highest recent value: the maximum of the last one to two spans of time, in constant space.

use crate::time::Mono;

/// The highest value of the current span and of the previous one.
#[derive(Clone, Copy, Debug)]
pub(super) struct RollingMax {
    span_us: u64,
    since: Mono,
    current: u64,
    previous: u64,
}

impl RollingMax {
    /// No values yet. A span of 0 counts as a microsecond.
    pub(super) fn new(span_us: u64) -> Self {
        Self {
            span_us: span_us.max(1),
            since: Mono::default(),
            current: 0,
            previous: 0,
        }
    }

    pub(super) fn note(&mut self, now: Mono, value: u64) {
        let spans = now.since_us(self.since) / self.span_us;
        if spans >= 1 {
            self.previous = if spans == 1 { self.current } else { 0 };
            (self.current, self.since) = (0, now);
        }
        self.current = self.current.max(value);
    }

    /// The highest recent value; 0 if there was none.
    pub(super) fn recent(&self, now: Mono) -> u64 {
        match now.since_us(self.since) / self.span_us {
            0 => self.current.max(self.previous),
            1 => self.current,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_counts_for_one_to_two_spans() {
        let mut peak = RollingMax::new(100);
        peak.note(Mono(0), 7);
        peak.note(Mono(50), 3);
        assert_eq!(
            [60, 99, 199, 200].map(|us| peak.recent(Mono(us))),
            [7, 7, 7, 0]
        );
        peak.note(Mono(150), 2);
        assert_eq!(
            [150, 249, 250, 349, 350].map(|us| peak.recent(Mono(us))),
            [7, 7, 2, 2, 0]
        );
        peak.note(Mono(1000), 1);
        assert_eq!(peak.recent(Mono(1000)), 1);
    }
}
