//! Sections of the configuration file: jobs with every discovery, uplinks, notifiers, relabel rules.
#![no_main]

use libfuzzer_sys::fuzz_target;
use yaml::{FromYaml, Options, ToYaml, from_str, to_string};

fn section<T: FromYaml + ToYaml>(text: &str) {
    match from_str::<T>(text, &Options::default()) {
        Ok(v) => drop(to_string(&v)),
        Err(e) => drop(e.to_string()),
    }
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    section::<Vec<scrape::ScrapeConfig>>(text);
    section::<scrape::GlobalScrapeConfig>(text);
    section::<Vec<remote::config::RemoteWriteConfig>>(text);
    section::<Vec<remote::config::RemoteReadConfig>>(text);
    section::<rules::notifier::AlertingConfig>(text);
});
