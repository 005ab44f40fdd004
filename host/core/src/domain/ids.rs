//! One type per identity. Public ids are prefixed and sort by time of creation; internal ones are
//! integers.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::object::hash64;

/// Bits of a [`JobSeq`] that count jobs inside an execution.
pub const INDEX_BITS: u32 = 24;
/// The most jobs that one execution can hold.
pub const MAX_JOBS_PER_EXECUTION: u32 = 1 << INDEX_BITS;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, and it sorts like the number.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id!(
    /// The store's number of a subscription.
    SubscriptionId
);
integer_id!(
    /// The store's number of a source.
    SourceId
);
integer_id!(
    /// The store's number of a channel.
    ChannelId
);
integer_id!(
    /// The store's number of a connection (subscription × channel).
    ConnectionId
);
integer_id!(
    /// The store's number of an execution, assigned when its first job is received.
    ExecutionSeq
);
integer_id!(
    /// The store's number of a job: its execution's number and its index in it, so that the jobs of
    /// an execution lie together.
    JobSeq
);

/// The hash of an object type. It must not change, because the store derives it from the type's
/// name at each read and the manifest's rules are found by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeHash(pub i64);

impl TypeHash {
    pub fn of(object_type: &str) -> Self {
        Self(hash64(&[object_type.as_bytes()]))
    }
}

/// Whose secrets, tokens and limits are meant. Written as `connection:12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    Subscription(SubscriptionId),
    Source(SourceId),
    Channel(ChannelId),
    Connection(ConnectionId),
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(id) => write!(f, "subscription:{id}"),
            Self::Source(id) => write!(f, "source:{id}"),
            Self::Channel(id) => write!(f, "channel:{id}"),
            Self::Connection(id) => write!(f, "connection:{id}"),
        }
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        let (kind, id) = text.split_once(':').ok_or(OwnerError)?;
        let id = id.parse().map_err(|_| OwnerError)?;
        match kind {
            "subscription" => Ok(Self::Subscription(SubscriptionId(id))),
            "source" => Ok(Self::Source(SourceId(id))),
            "channel" => Ok(Self::Channel(ChannelId(id))),
            "connection" => Ok(Self::Connection(ConnectionId(id))),
            _ => Err(OwnerError),
        }
    }
}

/// A text is not the name of an [`Owner`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `subscription:`, `source:`, `channel:` or `connection:` and a number")]
pub struct OwnerError;

impl ExecutionSeq {
    /// The number of the job at `index` of this execution.
    pub fn job(self, index: u32) -> JobSeq {
        JobSeq((self.0 << INDEX_BITS) | i64::from(index))
    }

    /// The first number that is past the jobs of this execution.
    pub fn end(self) -> JobSeq {
        JobSeq((self.0 + 1) << INDEX_BITS)
    }
}

impl JobSeq {
    /// The execution that the job belongs to.
    pub fn execution(self) -> ExecutionSeq {
        ExecutionSeq(self.0 >> INDEX_BITS)
    }

    /// The job's index in its execution.
    pub fn index(self) -> u32 {
        u32::try_from(self.0 & i64::from(MAX_JOBS_PER_EXECUTION - 1)).unwrap_or(0)
    }
}

/// The public id of an execution: `exe_` and 26 characters of a UUID version 7 (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExecutionId(pub Uuid);

/// The public id of a job: `job_`, the 26 characters of its execution, and 5 of its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId {
    pub execution: ExecutionId,
    /// The job's index in it.
    pub index: u32,
}

/// A text is not an id of the requested kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id: expected `{prefix}` followed by {length} characters of 0-9 a-z")]
pub struct IdError {
    prefix: &'static str,
    length: usize,
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exe_{}", encode(self.0.as_u128(), 26))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "job_{}{}",
            encode(self.execution.0.as_u128(), 26),
            encode(u128::from(self.index), 5)
        )
    }
}

impl FromStr for ExecutionId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError {
            prefix: "exe_",
            length: 26,
        };
        let digits = text
            .strip_prefix("exe_")
            .filter(|d| d.len() == 26)
            .ok_or(error)?;
        decode(digits)
            .map(|n| Self(Uuid::from_u128(n)))
            .ok_or(error)
    }
}

impl FromStr for JobId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError {
            prefix: "job_",
            length: 31,
        };
        let digits = text
            .strip_prefix("job_")
            .filter(|d| d.len() == 31 && d.is_ascii())
            .ok_or(error)?;
        let (execution, index) = digits.split_at(26);
        let execution = decode(execution)
            .map(|n| ExecutionId(Uuid::from_u128(n)))
            .ok_or(error)?;
        let index = decode(index)
            .and_then(|n| u32::try_from(n).ok())
            .filter(|i| *i < MAX_JOBS_PER_EXECUTION)
            .ok_or(error)?;
        Ok(Self { execution, index })
    }
}

fn encode(mut number: u128, length: usize) -> String {
    let mut text = vec![b'0'; length];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number & 31) as usize];
        number >>= 5;
    }
    String::from_utf8(text).unwrap_or_default()
}

fn decode(text: &str) -> Option<u128> {
    text.bytes().try_fold(0u128, |number, byte| {
        let digit = ALPHABET.iter().position(|a| *a == byte)?;
        // 26 digits hold 130 bits: the two highest must be zero.
        number.checked_mul(32)?.checked_add(digit as u128)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_sort() {
        let early = ExecutionId(Uuid::from_u128(7));
        let late = ExecutionId(Uuid::from_u128(u128::MAX));
        assert!(early.to_string() < late.to_string());
        assert_eq!(late.to_string().parse(), Ok(late));
        let job = JobId {
            execution: late,
            index: MAX_JOBS_PER_EXECUTION - 1,
        };
        assert_eq!(job.to_string().parse(), Ok(job));
        assert!("job_zz".parse::<JobId>().is_err());
        assert!(
            format!("exe_{}", "z".repeat(26))
                .parse::<ExecutionId>()
                .is_err()
        );
    }

    #[test]
    fn owners_round_trip() {
        for owner in [
            Owner::Subscription(SubscriptionId(1)),
            Owner::Source(SourceId(2)),
            Owner::Channel(ChannelId(3)),
            Owner::Connection(ConnectionId(4)),
        ] {
            assert_eq!(owner.to_string().parse(), Ok(owner));
        }
        assert_eq!("job:1".parse::<Owner>(), Err(OwnerError));
        assert_eq!("source".parse::<Owner>(), Err(OwnerError));
    }

    #[test]
    fn job_numbers_carry_their_execution() {
        let job = ExecutionSeq(12).job(34);
        assert_eq!((job.execution(), job.index()), (ExecutionSeq(12), 34));
        assert!(job < ExecutionSeq(12).end());
    }
}
