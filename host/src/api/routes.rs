//! How routes are registered: each with the action that it is, so that none can be reached by whoever may not do it.

use std::sync::Arc;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::MethodRouter;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::Services;
use super::description::complete;
use super::problem::Problem;
use crate::access::{Action, Caller, Denied, permit};
use crate::model::{InvalidId, PolicyScope};

/// The path's parameter that names a scope, where the action depends on it.
const SCOPE: &str = "tenant";

/// What a route does: an action, or one upon the scope that `{tenant}` of its path names.
pub(super) trait Needs: Clone + Send + Sync + 'static {
    /// The action, of a request with this scope in its path.
    fn action(&self, scope: Option<&str>) -> Result<Action, InvalidId>;
}

impl Needs for Action {
    fn action(&self, _scope: Option<&str>) -> Result<Action, InvalidId> {
        Ok(self.clone())
    }
}

impl<F: Fn(PolicyScope) -> Action + Clone + Send + Sync + 'static> Needs for F {
    fn action(&self, scope: Option<&str>) -> Result<Action, InvalidId> {
        scope.unwrap_or_default().parse().map(self)
    }
}

/// Routes, none without its action.
#[derive(Default)]
pub(super) struct Routes(OpenApiRouter<Arc<Services>>);

impl Routes {
    /// Adds the routes of one path, each of which does this.
    pub(super) fn with(self, needs: impl Needs, routes: UtoipaMethodRouter<Arc<Services>>) -> Self {
        let (schemas, mut paths, methods) = routes;
        // Of any scope, for the description.
        let said = needs.action(Some("ID")).map(|action| action.needs()).unwrap_or_default();
        paths.paths.values_mut().flat_map(operations).for_each(|operation| complete(operation, &said));
        Self(self.0.routes((schemas, paths, guarded(needs, methods))))
    }

    pub(super) fn merged_into(self, router: OpenApiRouter<Arc<Services>>) -> OpenApiRouter<Arc<Services>> {
        router.merge(self.0)
    }
}

/// The handlers of a path, for whoever may do this.
fn guarded<N: Needs>(needs: N, methods: MethodRouter<Arc<Services>>) -> MethodRouter<Arc<Services>> {
    methods.route_layer(from_fn_with_state(needs, admit::<N>))
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, options, head, patch, trace, .. } = path;
    [get, put, post, delete, options, head, patch, trace].into_iter().flatten()
}

async fn admit<N: Needs>(
    State(needs): State<N>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Response {
    // A path that is malformed names no scope; what else is wrong with it, its handler says.
    let scope = path.iter().flatten().find(|(name, _)| *name == SCOPE).map(|(_, value)| value);
    match permitted(request.extensions().get(), needs.action(scope)) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

fn permitted(caller: Option<&Caller>, action: Result<Action, InvalidId>) -> Result<(), Problem> {
    let nobody = || Problem::internal("it is not known who calls");
    Ok(permit(caller.ok_or_else(nobody)?, &action?)?)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        tracing::warn!(%denied, "a request was refused");
        Self::new(StatusCode::FORBIDDEN, "forbidden", denied.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    #[test]
    fn an_action_upon_a_scope_is_that_of_the_path() {
        let caller = |tenant: &str| {
            let role = tenant.parse().map_or(Role::Viewer, Role::Tenant);
            Caller { actor: "token:t".to_owned(), role }
        };
        let status = |tenant: &str, scope: Option<&str>| {
            permitted(Some(&caller(tenant)), Action::ChangePolicies.action(scope)).map_err(|problem| problem.status)
        };
        assert_eq!(status("acme", Some("acme")), Ok(()));
        for (tenant, scope, expected) in [
            ("rival", Some("acme"), 403),
            ("acme", Some("*"), 403),
            ("-", Some("acme"), 403),
            ("acme", Some("no scope"), 400),
            ("acme", None, 400),
        ] {
            assert_eq!(status(tenant, scope), Err(expected), "{tenant} {scope:?}");
        }
    }

    #[test]
    fn nobody_may_do_anything() {
        assert_eq!(permitted(None, Ok(Action::Observe)).map_err(|problem| problem.status), Err(500));
    }
}
