//! What stands behind the `?`: numbers only, so that nothing needs to be decoded.

use hyper::Request;

use super::answer::Refusal;

/// The query of a request.
pub(super) struct Query(String);

impl Query {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self(request.uri().query().unwrap_or_default().to_owned())
    }

    /// The number of this name; absent when it is not there.
    ///
    /// # Errors
    /// When it is there and is no number.
    pub(super) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let mut pairs = self.0.split('&').filter_map(|pair| pair.split_once('='));
        let Some((_, value)) = pairs.find(|(key, _)| *key == name) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| Refusal::not_understood(format!("{name}={value:?} is no number")))
    }

    /// Whether this name is there with a number other than 0.
    ///
    /// # Errors
    /// As of [`Query::number`].
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        Ok(self.number(name)?.is_some_and(|number| number != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_flags() {
        let query = Query("after=7&follow=1&watch=0&bad=x".to_owned());
        assert!(matches!(query.number("after"), Ok(Some(7))));
        assert!(matches!(query.number("since"), Ok(None)));
        assert!(query.number("bad").is_err());
        assert!(matches!(query.flag("follow"), Ok(true)));
        assert!(matches!(query.flag("watch"), Ok(false)));
        assert!(matches!(query.flag("other"), Ok(false)));
    }
}
