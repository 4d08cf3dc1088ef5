//! The description of the API: made of the table of routes and of the types of [`vigie_api`] by a test, so that nothing of
//! what makes it is in the program. It lies in the program's file, of which only what somebody reads is in memory.

/// OpenAPI 3.1, as JSON.
pub const DOCUMENT: &str = include_str!("../../../../docs/openapi.json");

#[cfg(test)]
mod tests;
