//! The channel's own rules: `success_on`, `reject_on` and `retry_on`, matched on a problem.
//!
//! A rule is a problem code, the destination's own code, a status (`503`) or a class of statuses
//! (`5xx`). The most specific match wins, in that order; between equals, reject before retry before
//! success.

use crate::domain::problem::Problem;
use crate::domain::retry::RetryRules;

/// The effect of a channel's rule on a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RuleEffect {
    Succeed,
    Retry,
    Reject,
}

/// How closely a rule fits, the closest last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    StatusClass,
    Status,
    DestinationCode,
    ProblemCode,
}

/// The effect that the channel's rules have on a problem, if one matches.
pub fn rule_for(rules: &RetryRules, problem: &Problem) -> Option<RuleEffect> {
    let lists = [
        (&rules.success_on, RuleEffect::Succeed),
        (&rules.retry_on, RuleEffect::Retry),
        (&rules.reject_on, RuleEffect::Reject),
    ];
    let best = |list: &[String]| list.iter().filter_map(|rule| fit(rule, problem)).max();
    lists
        .into_iter()
        .filter_map(|(list, effect)| best(list).map(|fit| (fit, effect)))
        .max()
        .map(|(_, effect)| effect)
}

fn fit(rule: &str, problem: &Problem) -> Option<Fit> {
    if rule == problem.code {
        return Some(Fit::ProblemCode);
    }
    if problem.destination_code.as_deref() == Some(rule) {
        return Some(Fit::DestinationCode);
    }
    let status = problem.http_status?;
    if rule.parse() == Ok(status) {
        return Some(Fit::Status);
    }
    let class = rule
        .strip_suffix("xx")
        .or_else(|| rule.strip_suffix("XX"))?;
    (class.parse() == Ok(status / 100)).then_some(Fit::StatusClass)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(success: &[&str], retry: &[&str], reject: &[&str]) -> RetryRules {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        RetryRules {
            success_on: owned(success),
            retry_on: owned(retry),
            reject_on: owned(reject),
            ..RetryRules::default()
        }
    }

    fn problem() -> Problem {
        Problem {
            destination_code: Some("E17".into()),
            ..Problem::new("stock.locked", "…").status(503)
        }
    }

    #[test]
    fn codes_statuses_and_classes_match() {
        for rule in ["stock.locked", "E17", "503", "5xx", "5XX"] {
            assert_eq!(
                rule_for(&rules(&[], &[rule], &[]), &problem()),
                Some(RuleEffect::Retry),
                "{rule}"
            );
        }
        for rule in ["stock", "E1", "500", "4xx", "xx", "", "50x"] {
            assert_eq!(
                rule_for(&rules(&[], &[rule], &[]), &problem()),
                None,
                "{rule}"
            );
        }
        assert_eq!(
            rule_for(
                &rules(&[], &["5xx", "503"], &[]),
                &Problem::new("other", "…")
            ),
            None,
            "no status, no match"
        );
    }

    #[test]
    fn closest_match_wins() {
        assert_eq!(
            rule_for(
                &rules(&["stock.locked"], &["E17"], &["503", "5xx"]),
                &problem()
            ),
            Some(RuleEffect::Succeed)
        );
        assert_eq!(
            rule_for(&rules(&["5xx"], &["E17"], &["503"]), &problem()),
            Some(RuleEffect::Retry)
        );
        assert_eq!(
            rule_for(&rules(&["5xx"], &["5xx"], &["503"]), &problem()),
            Some(RuleEffect::Reject)
        );
    }

    #[test]
    fn reject_precedes_retry_precedes_success_among_equals() {
        assert_eq!(
            rule_for(&rules(&["503"], &["503"], &["503"]), &problem()),
            Some(RuleEffect::Reject)
        );
        assert_eq!(
            rule_for(&rules(&["503"], &["503"], &[]), &problem()),
            Some(RuleEffect::Retry)
        );
    }
}
