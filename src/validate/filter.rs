//! `pb::Filter` → [`Filter`].

use crate::domain::dimension::{Dimension, PROPERTIES_PREFIX};
use crate::domain::filter::{Field, Filter, Measure, NumberComparison, TextComparison};
use crate::pb::{self, Operator, filter::Kind};

use super::rules::{Violations, excerpt};

/// Conditions of a filter at most.
pub const MAX_CONDITIONS: usize = 100;
/// Filters inside one another at most.
pub const MAX_DEPTH: usize = 8;
/// Values of a condition at most.
pub const MAX_VALUES: usize = 1_000;
/// Bytes of a value at most.
pub const MAX_VALUE_BYTES: usize = 2_048;
/// Bytes of a regular expression at most.
pub const MAX_REGEX_BYTES: usize = 512;
/// Bytes of a property's key at most.
pub const MAX_KEY_BYTES: usize = 128;

/// Reads a filter; `field` is its path. What is wrong is noted.
pub fn parse(filter: pb::Filter, field: &str, violations: &mut Violations) -> Option<Filter> {
    let mut parser = Parser {
        violations,
        conditions: 0,
    };
    parser.filter(filter, field, 1)
}

/// Reads the name of a dimension, and offers what would be valid when there is none of it.
pub fn dimension(name: &str, field: &str, violations: &mut Violations) -> Option<Dimension> {
    let dimension = Dimension::from_name(name);
    match &dimension {
        Some(Dimension::Property(key)) if key.len() > MAX_KEY_BYTES || key.contains('\0') => {
            violations.add(
                field,
                format!("a property key has 1–{MAX_KEY_BYTES} bytes, none NUL"),
            );
            return None;
        }
        Some(_) => {}
        None => {
            let names: Vec<&str> = Dimension::NAMED.iter().map(|(name, _)| *name).collect();
            violations.add(
                field,
                format!(
                    "there is no dimension `{}`; there are {}, {PROPERTIES_PREFIX}<key>",
                    excerpt(name, 40),
                    names.join(", ")
                ),
            );
        }
    }
    dimension
}

struct Parser<'v> {
    violations: &'v mut Violations,
    conditions: usize,
}

impl Parser<'_> {
    fn filter(&mut self, filter: pb::Filter, field: &str, depth: usize) -> Option<Filter> {
        if depth > MAX_DEPTH {
            self.violations
                .add(field, format!("nested deeper than {MAX_DEPTH} levels"));
            return None;
        }
        match filter.kind {
            None => {
                self.violations
                    .add(field, "is empty, need one of where, all, any, not");
                None
            }
            Some(Kind::Where(condition)) => self.condition(condition, &format!("{field}.where")),
            Some(Kind::All(list)) => self
                .list(list, &format!("{field}.all"), depth)
                .map(Filter::All),
            Some(Kind::Any(list)) => self
                .list(list, &format!("{field}.any"), depth)
                .map(Filter::Any),
            Some(Kind::Not(inner)) => {
                let inner = self.filter(*inner, &format!("{field}.not"), depth + 1)?;
                Some(Filter::Not(Box::new(inner)))
            }
        }
    }

    fn list(&mut self, list: pb::FilterList, field: &str, depth: usize) -> Option<Vec<Filter>> {
        if list.filters.len() > MAX_CONDITIONS {
            self.violations.add(
                format!("{field}.filters"),
                format!(
                    "{} filters, need at most {MAX_CONDITIONS}",
                    list.filters.len()
                ),
            );
            return None;
        }
        // All are read, so that all that is wrong is told at once.
        let filters: Vec<Option<Filter>> = list
            .filters
            .into_iter()
            .enumerate()
            .map(|(place, filter)| {
                self.filter(filter, &format!("{field}.filters[{place}]"), depth + 1)
            })
            .collect();
        filters.into_iter().collect()
    }

    fn condition(&mut self, condition: pb::Condition, field: &str) -> Option<Filter> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            self.violations
                .add(field, format!("more than {MAX_CONDITIONS} conditions"));
            return None;
        }
        let Ok(operator) = Operator::try_from(condition.operator) else {
            self.violations.add(
                format!("{field}.operator"),
                format!("{} is no operator", condition.operator),
            );
            return None;
        };
        match operator {
            Operator::Unspecified | Operator::Equals => self.equals(condition, field),
            Operator::StartsWith => self.text(condition, field, TextComparison::StartsWith),
            Operator::Contains => self.text(condition, field, TextComparison::Contains),
            Operator::MatchesRegex => self.text(condition, field, TextComparison::MatchesRegex),
            Operator::LessThan => self.number(&condition, field, NumberComparison::Less),
            Operator::LessOrEqual => self.number(&condition, field, NumberComparison::LessOrEqual),
            Operator::GreaterThan => self.number(&condition, field, NumberComparison::Greater),
            Operator::GreaterOrEqual => {
                self.number(&condition, field, NumberComparison::GreaterOrEqual)
            }
            Operator::IsAbsent => self.absent(&condition, field),
        }
    }

    fn dimension(&mut self, name: &str, field: &str) -> Option<Dimension> {
        dimension(name, &format!("{field}.dimension"), self.violations)
    }

    /// The empty value stands for "absent".
    fn equals(&mut self, mut condition: pb::Condition, field: &str) -> Option<Filter> {
        let count = condition.values.len();
        condition.values.retain(|value| !value.is_empty());
        let has_empty = condition.values.len() < count;
        if !has_empty {
            return self.text(condition, field, TextComparison::Equals);
        }
        let absent = Filter::Absent(Field::Dimension(
            self.dimension(&condition.dimension, field)?,
        ));
        if condition.values.is_empty() {
            return Some(absent);
        }
        let present = self.text(condition, field, TextComparison::Equals)?;
        Some(Filter::Any(vec![absent, present]))
    }

    fn text(
        &mut self,
        condition: pb::Condition,
        field: &str,
        comparison: TextComparison,
    ) -> Option<Filter> {
        let dimension = self.dimension(&condition.dimension, field);
        let values = condition.values;
        if values.is_empty() || values.len() > MAX_VALUES {
            self.violations.add(
                format!("{field}.values"),
                format!("{} values, need 1–{MAX_VALUES}", values.len()),
            );
            return None;
        }
        let max_bytes = match comparison {
            TextComparison::MatchesRegex => MAX_REGEX_BYTES,
            _ => MAX_VALUE_BYTES,
        };
        for (place, value) in values.iter().enumerate() {
            let fault = if value.is_empty() || value.len() > max_bytes {
                format!("{} bytes, need 1–{max_bytes}", value.len())
            } else if value.contains('\0') {
                "contains a NUL character".to_owned()
            } else {
                continue;
            };
            self.violations
                .add(format!("{field}.values[{place}]"), fault);
            return None;
        }
        Some(Filter::Text {
            dimension: dimension?,
            comparison,
            values,
        })
    }

    fn number(
        &mut self,
        condition: &pb::Condition,
        field: &str,
        comparison: NumberComparison,
    ) -> Option<Filter> {
        let measure = measure(&condition.dimension);
        if measure.is_none() {
            self.violations.add(
                format!("{field}.dimension"),
                format!(
                    "`{}` is not a number; duration, scroll_depth and properties.<key> are",
                    excerpt(&condition.dimension, 40)
                ),
            );
        }
        let [text] = condition.values.as_slice() else {
            self.violations.add(
                format!("{field}.values"),
                format!("{} values, need exactly 1", condition.values.len()),
            );
            return None;
        };
        let number = text
            .trim()
            .parse::<f64>()
            .ok()
            .filter(|number| number.is_finite());
        let Some(value) = number else {
            self.violations.add(
                format!("{field}.values[0]"),
                format!("`{}` is not a decimal number", excerpt(text, 40)),
            );
            return None;
        };
        Some(Filter::Number {
            measure: measure?,
            comparison,
            value,
        })
    }

    fn absent(&mut self, condition: &pb::Condition, field: &str) -> Option<Filter> {
        if !condition.values.is_empty() {
            self.violations.add(
                format!("{field}.values"),
                format!("{} values, need none", condition.values.len()),
            );
            return None;
        }
        let absent = match condition.dimension.as_str() {
            "duration" => Field::Measure(Measure::Duration),
            "scroll_depth" => Field::Measure(Measure::ScrollDepth),
            name => Field::Dimension(self.dimension(name, field)?),
        };
        Some(Filter::Absent(absent))
    }
}

fn measure(name: &str) -> Option<Measure> {
    match name {
        "duration" => Some(Measure::Duration),
        "scroll_depth" => Some(Measure::ScrollDepth),
        name => match Dimension::from_name(name) {
            Some(Dimension::Property(key)) if key.len() <= MAX_KEY_BYTES && !key.contains('\0') => {
                Some(Measure::Property(key))
            }
            _ => None,
        },
    }
}
