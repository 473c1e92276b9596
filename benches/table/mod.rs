//! What was measured, by row and by size.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Table {
    /// What is counted in the columns.
    of: &'static str,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    name: &'static str,
    goal: &'static str,
    cells: BTreeMap<usize, Cell>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell {
    Time(Duration),
    Ratio(f64),
    Count(u64),
}

impl Cell {
    fn text(self) -> String {
        match self {
            Self::Time(time) if time.as_secs_f64() >= 10.0 => format!("{:.1} s", time.as_secs_f64()),
            Self::Time(time) => format!("{:.1} ms", time.as_secs_f64() * 1e3),
            Self::Ratio(ratio) if ratio >= 10.0 => format!("{ratio:.0} x"),
            Self::Ratio(ratio) => format!("{ratio:.2} x"),
            Self::Count(count) => count.to_string(),
        }
    }
}

impl Table {
    pub(crate) fn of(of: &'static str) -> Self {
        Self { of, rows: Vec::new() }
    }

    pub(crate) fn put(&mut self, name: &'static str, goal: &'static str, size: usize, cell: Cell) {
        let at = match self.rows.iter().position(|row| row.name == name) {
            Some(at) => at,
            None => {
                self.rows.push(Row { name, goal, cells: BTreeMap::new() });
                self.rows.len() - 1
            }
        };
        self.rows[at].cells.insert(size, cell);
    }

    /// How a time grows from the least to the most: `log(t2/t1) / log(n2/n1)`.
    fn growth(row: &Row) -> Option<f64> {
        let times: Vec<(f64, f64)> = row
            .cells
            .iter()
            .filter_map(|(n, cell)| match cell {
                Cell::Time(time) => Some((*n as f64, time.as_secs_f64())),
                Cell::Ratio(_) | Cell::Count(_) => None,
            })
            .collect();
        let ((n1, t1), (n2, t2)) = (times.first()?, times.last()?);
        (n1 < n2).then(|| (t2 / t1).ln() / (n2 / n1).ln())
    }

    pub(crate) fn print(&self) {
        let mut sizes: Vec<usize> = self.rows.iter().flat_map(|row| row.cells.keys().copied()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let head: Vec<String> = sizes.iter().map(|size| format!("{size} {}", self.of)).collect();
        println!("\n| | {} | growth | goal |\n|---|{}--:|---|", head.join(" | "), "--:|".repeat(sizes.len()));
        for row in &self.rows {
            let cell = |size| row.cells.get(size).map_or_else(|| "–".to_owned(), |cell| cell.text());
            let cells: Vec<String> = sizes.iter().map(cell).collect();
            let growth = Self::growth(row).map_or_else(String::new, |growth| format!("{growth:.2}"));
            println!("| {} | {} | {growth} | {} |", row.name, cells.join(" | "), row.goal);
        }
    }
}
