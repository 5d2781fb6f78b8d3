//! What was measured, for people and for programs.

use serde::Serialize;
use std::time::Duration;

/// One figure.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// A stable name.
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    /// What it should be, as docs/benchmarks.md says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bar: Option<&'static str>,
    /// Under which conditions.
    pub(super) details: String,
}

impl Figure {
    pub(super) fn new(
        name: &'static str,
        value: f64,
        unit: &'static str,
        bar: &'static str,
        details: impl Into<String>,
    ) -> Self {
        Self {
            name,
            value,
            unit,
            bar: (!bar.is_empty()).then_some(bar),
            details: details.into(),
        }
    }
}

/// A table with a row for each.
pub(super) fn table(figures: &[Figure]) -> String {
    let mut rows = vec![["what", "figure", "bar", "details"].map(str::to_owned)];
    rows.extend(figures.iter().map(|figure| {
        [
            figure.name.replace('_', " "),
            format!("{} {}", short(figure.value), figure.unit),
            figure.bar.unwrap_or("-").to_owned(),
            figure.details.clone(),
        ]
    }));
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths = [width(0), width(1), width(2)];
    rows.iter()
        .map(|[what, figure, bar, details]| {
            let [a, b, c] = widths;
            format!("{what:<a$}  {figure:>b$}  {bar:<c$}  {details}\n")
        })
        .collect()
}

fn short(value: f64) -> String {
    match value.abs() {
        0.0..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Times, of which quantiles are asked.
#[derive(Debug, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds: what this share of the times does not exceed; 0 if there are none.
    pub(super) fn quantile(&mut self, share: f64) -> f64 {
        self.0.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of times, from a share of its length"
        )]
        let index = (self.0.len() as f64 * share).ceil() as usize;
        let time = self.0.get(index.saturating_sub(1)).or(self.0.last());
        time.map_or(0.0, |time| time.as_secs_f64() * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let mut times = Times::default();
        assert!(times.quantile(0.5).abs() < 1e-9);
        for ms in (1..=1000).rev() {
            times.add(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.0, 1.0), (0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            assert!((times.quantile(share) - ms).abs() < 1e-9, "{share}");
        }
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let figures = [
            Figure::new("a_b", 1.234, "ms", "< 3", "x"),
            Figure::new("longer", 123_456.7, "a second", "", "y"),
        ];
        let table = table(&figures);
        assert_eq!(
            table,
            "what             figure  bar  details\n\
             a b             1.23 ms  < 3  x\n\
             longer  123457 a second  -    y\n"
        );
    }
}
