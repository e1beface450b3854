//! How large answers are, for those that are kept.

use crate::query::cache::Weigh;

use super::About;
use super::breakdown::{BreakdownAnswer, ValueRow};
use super::compare::{ComparedAnswer, ComparedRow, Measured};
use super::overview::OverviewAnswer;

impl Weigh for Measured {
    fn bytes(&self) -> usize {
        let before = self
            .before
            .as_ref()
            .map_or(0, |before| size_of_val(&**before));
        size_of::<Self>() + size_of_val(&*self.now) + before
    }
}

impl Weigh for ComparedRow {
    fn bytes(&self) -> usize {
        let texts = self.dimensions.iter();
        let texts: usize = texts.map(|text| size_of::<String>() + text.len()).sum();
        size_of::<usize>() + texts + self.measured.bytes()
    }
}

impl Weigh for ComparedAnswer {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.bytes() + self.totals.bytes() + self.others.bytes()
    }
}

impl Weigh for ValueRow {
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.value.len()
            + self.measured.bytes()
            + size_of_val(&*self.share_percent)
            + size_of_val(&*self.series)
    }
}

impl Weigh for BreakdownAnswer {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.rows.bytes() + self.totals.bytes() + self.others.bytes()
    }
}

impl Weigh for OverviewAnswer {
    fn bytes(&self) -> usize {
        self.series.bytes() + self.lists.bytes()
    }
}

impl Weigh for About {
    fn bytes(&self) -> usize {
        let plans = self.plans.iter().map(|question| {
            let steps = question.plan.steps.iter().map(String::len);
            size_of_val(question) + question.plan.source.len() + steps.sum::<usize>()
        });
        let executed = self
            .executed
            .iter()
            .map(|step| size_of_val(step) + step.step.len());
        size_of::<Self>() + plans.sum::<usize>() + executed.sum::<usize>()
    }
}
