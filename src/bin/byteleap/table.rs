//! Tables for people: aligned columns, numbers to the right, no colours.

use std::fmt;

/// A column's heading, and whether its cells stand to the right.
#[derive(Clone, Copy)]
pub enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Column::Text(heading) | Column::Number(heading) => heading,
        }
    }
}

pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[Column]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A cell for each column; what is beyond the last column is not shown.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self, place: usize) -> usize {
        let heading = self.columns.get(place).map_or("", |column| column.heading());
        let cells = self.rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
        cells.chain([heading.chars().count()]).max().unwrap_or_default()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths: Vec<usize> = (0..self.columns.len()).map(|place| self.width(place)).collect();
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading().to_owned()).collect();
        for row in [&headings].into_iter().chain(&self.rows) {
            let cells = self.columns.iter().zip(&widths).zip(row).map(|((column, width), cell)| match column {
                Column::Text(_) => format!("{cell:<width$}"),
                Column::Number(_) => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// Names and values, one pair a line, under a title.
pub struct Facts {
    title: String,
    pairs: Vec<(String, String)>,
}

impl Facts {
    pub fn of(title: impl Into<String>) -> Facts {
        Facts { title: title.into(), pairs: Vec::new() }
    }

    pub fn add(&mut self, name: impl Into<String>, value: impl fmt::Display) {
        self.pairs.push((name.into(), value.to_string()));
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let width = self.pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
        self.pairs.iter().try_for_each(|(name, value)| writeln!(f, "  {name:<width$}  {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&[Column::Number("uid"), Column::Text("hotkey"), Column::Text("axon")]);
        table.row(["0".into(), "5F".into(), "-".into()]);
        table.row(["4096".into(), "5FLGJv".into(), "é:1".into()]);
        assert_eq!(table.to_string(), " uid  hotkey  axon\n   0  5F      -\n4096  5FLGJv  é:1\n");
    }

    #[test]
    fn facts_stand_under_their_title() {
        let mut facts = Facts::of("node");
        facts.add("best", 7);
        facts.add("genesis", "0x00");
        assert_eq!(facts.to_string(), "node\n  best     7\n  genesis  0x00\n");
    }
}
