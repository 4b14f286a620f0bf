//! Two measures of how alike a term and a text are, from 0 to 1.

/// What is not equal stays a little below 1.
const NOT_EQUAL: f64 = 0.999;

/// The letters of the term in their order within the text. Runs of neighbours count by the square of their length, letters left out before and
/// between cost their share of the text, those after it half of that. Of all places to begin the best counts. 0: not all letters are there.
pub fn subsequence(term: &str, text: &str) -> f64 {
    if term == text || term.is_empty() {
        return 1.0;
    }
    let (term, text): (Vec<char>, Vec<char>) = (term.chars().collect(), text.chars().collect());
    if term.len() > text.len() {
        return 0.0;
    }
    let mut best: Option<f64> = None;
    for start in (0..=text.len() - term.len()).filter(|i| text[*i] == term[0]) {
        // What cannot be found from here cannot be found from further on.
        let Some(s) = from(start, &term, &text) else { break };
        best = Some(best.map_or(s, |b| b.max(s)));
    }
    match best {
        Some(b) if b >= 0.0 => b / (term.len() * term.len()) as f64 * NOT_EQUAL,
        _ => 0.0,
    }
}

fn from(start: usize, term: &[char], text: &[char]) -> Option<f64> {
    let share = 1.0 / text.len() as f64;
    let (mut at, mut matched, mut end, mut score) = (start, 0, 0, 0.0);
    while matched < term.len() {
        let begin = at + text[at..].iter().position(|c| *c == term[matched])?;
        let run = text[begin..].iter().zip(&term[matched..]).take_while(|(a, b)| a == b).count();
        score -= (begin - end) as f64 * share;
        score += (run * run) as f64;
        matched += run;
        end = begin + run;
        at = end;
    }
    Some(score - (text.len() - end) as f64 * share * 0.5)
}

/// Jaro's share of common letters at nearby places, raised by up to four equal first letters.
pub fn jaro_winkler(a: &str, b: &str) -> f64 {
    if a == b {
        return 1.0;
    }
    let (mut a, mut b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.is_empty() || b.is_empty() {
        return 0.0;
    }
    if a.len() > b.len() {
        std::mem::swap(&mut a, &mut b);
    }
    let reach = (b.len() / 2).saturating_sub(1);
    let mut taken = vec![false; b.len()];
    let mut common = Vec::new();
    for (i, c) in a.iter().enumerate() {
        let window = i.saturating_sub(reach)..(i + reach + 1).min(b.len());
        if let Some(j) = window.into_iter().find(|j| !taken[*j] && b[*j] == *c) {
            taken[j] = true;
            common.push(*c);
        }
    }
    if common.is_empty() {
        return 0.0;
    }
    let in_b = b.iter().zip(&taken).filter(|(_, t)| **t).map(|(c, _)| c);
    let moved = common.iter().zip(in_b).filter(|(x, y)| x != y).count() as f64;
    let m = common.len() as f64;
    let jaro = (m / a.len() as f64 + m / b.len() as f64 + (m - moved * 0.5) / m) / 3.0;
    let prefix = a.iter().zip(&b).take(4).take_while(|(x, y)| x == y).count() as f64;
    jaro + prefix * 0.1 * (1.0 - jaro)
}
