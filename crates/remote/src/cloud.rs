//! The `azuread` and `google_iam` sections of remote write: read and checked as the reference does, so that a file that holds them is judged
//! rightly. Tokens for `azuread` come from [`crate::azure`]; whoever starts or reloads with `google_iam` or with an Azure certificate is told by name that it cannot be
//! done.

use yaml::Secret;

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AzureAdConfig as "azuread.plain" check(AzureAdConfig::check) {
        pub managed_identity: Option<ManagedIdentity>;
        pub workload_identity: Option<WorkloadIdentity>;
        pub oauth: Option<AzureOAuth>;
        pub sdk: Option<AzureSdk>;
        pub certificate: Option<AzureCertificate>;
        /// `AzurePublic` when left out.
        pub cloud: String;
        pub scope: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct ManagedIdentity as "azuread.ManagedIdentityConfig" {
        pub client_id: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct WorkloadIdentity as "azuread.WorkloadIdentityConfig" {
        pub client_id: String;
        pub tenant_id: String;
        pub token_file_path: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AzureOAuth as "azuread.OAuthConfig" {
        pub client_id: String;
        pub client_secret: Secret;
        pub tenant_id: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AzureSdk as "azuread.SDKConfig" {
        pub tenant_id: String;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct AzureCertificate as "azuread.CertificateConfig" {
        pub client_id: String;
        pub tenant_id: String;
        pub certificate_path: String;
        pub certificate_key_path: String;
        pub certificate_password: Secret;
        pub send_certificate_chain: bool;
    }
}

yaml::table! {
    #[derive(Clone, Debug, PartialEq)]
    pub struct GoogleIamConfig as "googleiam.Config" {
        pub credentials_file: String;
    }
}

const CLOUDS: [&str; 3] = ["AzureChina", "AzureGovernment", "AzurePublic"];

fn refuse(text: &str) -> Result<(), String> {
    Err(text.to_string())
}

impl AzureAdConfig {
    fn check(&mut self) -> Result<(), String> {
        if self.cloud.is_empty() {
            self.cloud = "AzurePublic".to_string();
        }
        if !CLOUDS.contains(&self.cloud.as_str()) {
            return refuse("must provide a cloud in the Azure AD config");
        }
        let ways =
            [self.managed_identity.is_some(), self.workload_identity.is_some(), self.oauth.is_some(), self.sdk.is_some(), self.certificate.is_some()];
        match ways.iter().filter(|w| **w).count() {
            0 => {
                return refuse(
                    "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
                );
            }
            1 => {}
            _ => return refuse("cannot provide multiple authentication methods in the Azure AD config"),
        }
        if let Some(m) = &self.managed_identity
            && !m.client_id.is_empty()
        {
            uuids("Azure Managed Identity", &[("client_id", &m.client_id)])?;
        }
        if let Some(w) = &self.workload_identity {
            let ids = [("client_id", w.client_id.as_str()), ("tenant_id", &w.tenant_id)];
            present("Azure Workload Identity", &ids)?;
            uuids("Azure Workload Identity", &ids)?;
        }
        if let Some(o) = &self.oauth {
            let secret = if o.client_secret.is_empty() { "" } else { "set" };
            present("Azure OAuth", &[("client_id", &o.client_id), ("client_secret", secret), ("tenant_id", &o.tenant_id)])?;
            uuids("Azure OAuth", &[("client_id", &o.client_id)])?;
        }
        if let Some(c) = &self.certificate {
            let all = [("client_id", c.client_id.as_str()), ("tenant_id", &c.tenant_id), ("certificate_path", &c.certificate_path)];
            present("Azure Certificate", &all)?;
            uuids("Azure Certificate", &all[..1])?;
        }
        let in_scope = |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_:/.-".contains(c);
        if !self.scope.chars().all(in_scope) {
            return refuse("the provided scope contains invalid characters");
        }
        Ok(())
    }
}

fn present(section: &str, fields: &[(&str, &str)]) -> Result<(), String> {
    match fields.iter().find(|(_, v)| v.is_empty()) {
        Some((name, _)) => Err(format!("must provide an {section} {name} in the Azure AD config")),
        None => Ok(()),
    }
}

fn uuids(section: &str, fields: &[(&str, &str)]) -> Result<(), String> {
    match fields.iter().find(|(_, v)| !is_uuid(v)) {
        Some((name, _)) => Err(format!("the provided {section} {name} is invalid")),
        None => Ok(()),
    }
}

/// In any of its written forms: plain, with dashes, in braces, as a URN.
fn is_uuid(text: &str) -> bool {
    let hex = |s: &str| s.bytes().all(|b| b.is_ascii_hexdigit());
    let dashed = |s: &str| {
        let parts: Vec<&str> = s.split('-').collect();
        parts.iter().map(|p| p.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(|p| hex(p))
    };
    match text.len() {
        32 => hex(text),
        38 => text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).is_some_and(dashed),
        45 => text.is_char_boundary(9) && text[..9].eq_ignore_ascii_case("urn:uuid:") && dashed(&text[9..]),
        _ => dashed(text),
    }
}
