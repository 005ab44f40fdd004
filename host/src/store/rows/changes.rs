//! The changes of several transactions, merged into one.

use crate::store::rows::Changes;

impl Changes {
    /// Adds the changes of a later transaction, whose counters replace the earlier ones.
    pub fn absorb(&mut self, later: Self) {
        for row in later.progress {
            let same = self.progress.iter_mut().find(|old| {
                (old.execution, old.connection, old.belt.belt)
                    == (row.execution, row.connection, row.belt.belt)
            });
            match same {
                Some(old) => *old = row,
                None => self.progress.push(row),
            }
        }
        let gone: std::collections::HashSet<_> = later.gone.iter().collect();
        self.orphaned.retain(|job| !gone.contains(job));
        self.stale.extend(later.stale);
        self.released.extend(later.released);
        self.orphaned.extend(later.orphaned);
        self.blocked.extend(later.blocked);
        self.completed.extend(later.completed);
        self.gone.extend(later.gone);
    }
}
