//! The objects with their versions and references.
//!
//! A version is a whole number that grows by one with each change of content; putting the same
//! content again changes nothing. It goes on counting when an object is deleted and created again,
//! so that a version names one content for ever. No object refers to one that is not there.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{body::Body, object::ObjectKey, refusal::Refusal};

/// What the client takes for granted about the object that it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Precondition {
    None,
    /// The object is not there.
    Absent,
    Present,
    /// The object is there in this version; none: in one that this shop never gave out.
    Version(Option<u64>),
}

impl Precondition {
    /// Reads a version as a client sends it back.
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

/// A write that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Success {
    Created {
        version: u64,
    },
    /// The object was there; `changed` says whether with other content.
    Replaced {
        version: u64,
        changed: bool,
    },
    Deleted,
}

/// One object as it is.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) version: u64,
    pub(crate) body: Arc<Body>,
}

#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    objects: BTreeMap<ObjectKey, Object>,
    /// How many objects refer to an object.
    referrers: HashMap<ObjectKey, u64>,
    /// The last versions of deleted objects.
    gone: HashMap<ObjectKey, u64>,
}

impl Catalogue {
    /// The object, if it is there.
    pub(crate) fn get(&self, target: &ObjectKey) -> Option<&Object> {
        self.objects.get(target)
    }

    /// All objects, by type and id.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Object)> {
        self.objects.iter()
    }

    /// Creates or replaces the object.
    ///
    /// # Errors
    /// The precondition fails, or an object that the body refers to is not there.
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

    /// Removes the object.
    ///
    /// # Errors
    /// The precondition fails, the object is not there, or others refer to it.
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
    fn what_is_referred_to_stays() {
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
    fn preconditions_look_at_the_version() {
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
