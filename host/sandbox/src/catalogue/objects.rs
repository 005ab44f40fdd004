//! The objects, with their versions and references.
//!
//! Each change of content increments the object's version by one; writing the same content again
//! changes nothing. An object that is deleted and created again continues its old count, so that a
//! version identifies one content forever. An object refers only to objects that exist.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use axum::http::StatusCode;

use crate::{object::ObjectKey, refusal::Refusal};

use super::body::Body;

/// The state in which the client expects the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    Absent,
    Present,
    /// The object exists in this version. None: the client named a version that this shop never
    /// issued.
    Version(Option<u64>),
}

impl Precondition {
    /// Parses a version that a client sent.
    pub(crate) fn version(text: &str) -> Self {
        Self::Version(text.parse().ok())
    }

    fn check(self, current: Option<u64>) -> Result<(), Refusal> {
        match (self, current) {
            (Self::None, _) | (Self::Absent, None) | (Self::Present, Some(_)) => Ok(()),
            (Self::Absent, Some(version)) => Err(Refusal::VersionExists { version }),
            (Self::Present | Self::Version(_), None) => Err(Refusal::ObjectMissing),
            (Self::Version(expected), Some(version)) if expected == Some(version) => Ok(()),
            (Self::Version(_), Some(version)) => Err(Refusal::VersionConflict { version }),
        }
    }
}

/// A write that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    Created {
        version: u64,
    },
    /// The object existed. `changed` tells whether its content differed.
    Replaced {
        version: u64,
        changed: bool,
    },
    Deleted,
}

impl Success {
    /// The HTTP status of the call or of the item.
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Created { .. } => StatusCode::CREATED,
            Self::Replaced { .. } => StatusCode::OK,
            Self::Deleted => StatusCode::NO_CONTENT,
        }
    }

    /// The object's current version; none if it was deleted.
    pub(crate) const fn version(self) -> Option<u64> {
        match self {
            Self::Created { version } | Self::Replaced { version, .. } => Some(version),
            Self::Deleted => None,
        }
    }

    /// Whether the content of the shop changed.
    pub(crate) const fn changed(self) -> bool {
        match self {
            Self::Created { .. } | Self::Deleted => true,
            Self::Replaced { changed, .. } => changed,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) version: u64,
    pub(crate) body: Arc<Body>,
}

#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    objects: BTreeMap<ObjectKey, Object>,
    /// The number of objects that refer to each object.
    referrers: HashMap<ObjectKey, u64>,
    /// The last versions of deleted objects.
    gone: HashMap<ObjectKey, u64>,
}

impl Catalogue {
    pub(crate) fn get(&self, target: &ObjectKey) -> Option<&Object> {
        self.objects.get(target)
    }

    /// All objects, ordered by type and id.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.objects.iter()
    }

    /// Creates or replaces the object. Errors: the precondition fails, or a referenced object does
    /// not exist.
    pub(crate) fn put(
        &mut self,
        target: &ObjectKey,
        precondition: Precondition,
        body: &Arc<Body>,
    ) -> Result<Success, Refusal> {
        let current = self.objects.get(target);
        precondition.check(current.map(|object| object.version))?;
        let absent = |reference: &&ObjectKey| !self.objects.contains_key(reference);
        let references: Vec<_> = body.references.iter().filter(absent).cloned().collect();
        if !references.is_empty() {
            return Err(Refusal::ReferenceMissing { references });
        }
        if let Some(object) = current.filter(|object| object.body.digest == body.digest) {
            let version = object.version;
            return Ok(Success::Replaced {
                version,
                changed: false,
            });
        }
        let before = current.map(|object| object.version);
        let version = 1 + before.or_else(|| self.gone.remove(target)).unwrap_or(0);
        self.count_referrers(body);
        let object = Object {
            version,
            body: Arc::clone(body),
        };
        match self.objects.insert(target.clone(), object) {
            None => Ok(Success::Created { version }),
            Some(replaced) => {
                self.uncount_referrers(&replaced.body);
                Ok(Success::Replaced {
                    version,
                    changed: true,
                })
            }
        }
    }

    /// Deletes the object. Errors: the precondition fails, the object does not exist, or other
    /// objects refer to it.
    pub(crate) fn delete(
        &mut self,
        target: &ObjectKey,
        precondition: Precondition,
    ) -> Result<Success, Refusal> {
        let current = self.objects.get(target).map(|object| object.version);
        precondition.check(current)?;
        if let Some(&referrers) = self.referrers.get(target) {
            return Err(Refusal::ObjectReferenced { referrers });
        }
        let removed = self.objects.remove(target).ok_or(Refusal::ObjectMissing)?;
        self.uncount_referrers(&removed.body);
        self.gone.insert(target.clone(), removed.version);
        Ok(Success::Deleted)
    }

    fn count_referrers(&mut self, body: &Body) {
        for reference in &body.references {
            *self.referrers.entry(reference.clone()).or_default() += 1;
        }
    }

    fn uncount_referrers(&mut self, body: &Body) {
        for reference in &body.references {
            if let Some(count) = self.referrers.get_mut(reference) {
                *count -= 1;
                if *count == 0 {
                    self.referrers.remove(reference);
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::ObjectType;

    fn category(
        catalogue: &mut Catalogue,
        id: &str,
        position: u64,
        parent: Option<&str>,
    ) -> Result<Success, Refusal> {
        let parent = parent.map(|id| json!({"type": "category", "id": id}));
        let value = json!({"name": {"de": id}, "position": position, "parent": parent});
        let target = key(id);
        let digest = value.to_string();
        let body = Arc::new(Body::check(&target, value, digest).unwrap());
        catalogue.put(&target, Precondition::None, &body)
    }

    fn key(id: &str) -> ObjectKey {
        ObjectKey::new(ObjectType::Category, id)
    }

    #[test]
    fn versions_grow_with_content_and_never_repeat() {
        let mut catalogue = Catalogue::default();
        assert_eq!(
            category(&mut catalogue, "a", 1, None),
            Ok(Success::Created { version: 1 })
        );
        let same = Success::Replaced {
            version: 1,
            changed: false,
        };
        assert_eq!(category(&mut catalogue, "a", 1, None), Ok(same));
        let other = Success::Replaced {
            version: 2,
            changed: true,
        };
        assert_eq!(category(&mut catalogue, "a", 2, None), Ok(other));
        assert_eq!(
            catalogue.delete(&key("a"), Precondition::None),
            Ok(Success::Deleted)
        );
        assert_eq!(
            category(&mut catalogue, "a", 2, None),
            Ok(Success::Created { version: 3 })
        );
    }

    #[test]
    fn referenced_object_stays() {
        let mut catalogue = Catalogue::default();
        let missing = Refusal::ReferenceMissing {
            references: vec![key("a")],
        };
        assert_eq!(category(&mut catalogue, "b", 1, Some("a")), Err(missing));
        category(&mut catalogue, "a", 1, None).unwrap();
        category(&mut catalogue, "b", 1, Some("a")).unwrap();
        category(&mut catalogue, "c", 1, Some("a")).unwrap();
        let referenced = |referrers| Err(Refusal::ObjectReferenced { referrers });
        assert_eq!(
            catalogue.delete(&key("a"), Precondition::None),
            referenced(2)
        );
        category(&mut catalogue, "b", 1, None).unwrap();
        assert_eq!(
            catalogue.delete(&key("a"), Precondition::None),
            referenced(1)
        );
        catalogue.delete(&key("c"), Precondition::None).unwrap();
        catalogue.delete(&key("a"), Precondition::None).unwrap();
    }

    #[test]
    fn preconditions_check_the_version() {
        use Precondition::{Absent, Present};
        let conflict = Err(Refusal::VersionConflict { version: 7 });
        assert_eq!(Absent.check(None), Ok(()));
        assert_eq!(
            Absent.check(Some(7)),
            Err(Refusal::VersionExists { version: 7 })
        );
        assert_eq!(Present.check(None), Err(Refusal::ObjectMissing));
        assert_eq!(Precondition::version("7").check(Some(7)), Ok(()));
        assert_eq!(Precondition::version("6").check(Some(7)), conflict);
        assert_eq!(Precondition::version("seven").check(Some(7)), conflict);
        assert_eq!(
            Precondition::version("7").check(None),
            Err(Refusal::ObjectMissing)
        );
    }
}
