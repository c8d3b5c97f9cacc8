// Drives a simulator with the vendor's own client: exchange, ask, refresh, revoke; prints one JSON object.
// Arguments: URL, client id, client secret, redirect URI, authorization code, API token.

const path = require("node:path");
const { Configuration, OAuth2Configuration, UsersApi } = require(
  path.join(process.env.PIPEDRIVE_NODE_CLIENT, "node_modules", "pipedrive", "dist", "versions", "v1"),
);

// The client rejects with the body of the refusal and drops the status.
async function outcomeOf(promise) {
  try {
    await promise;
    return "accepted";
  } catch (refusal) {
    return refusal.error ?? String(refusal);
  }
}

async function main([host, clientId, clientSecret, redirectUri, code, apiKey]) {
  const oauth2 = new OAuth2Configuration({ clientId, clientSecret, redirectUri, host });
  const issued = await oauth2.authorize(code);
  const users = () =>
    new UsersApi(new Configuration({ accessToken: oauth2.getAccessToken, basePath: oauth2.basePath }));
  const me = await users().getCurrentUser();
  const refreshed = await oauth2.tokenRefresh();
  const withApiToken = new UsersApi(new Configuration({ apiKey, basePath: `${host}/api/v1` }));
  const meByApiToken = await withApiToken.getCurrentUser();
  await oauth2.revokeToken("access_token");
  const afterAccessRevoked = await outcomeOf(users().getCurrentUser());
  const refreshAfterAccessRevoked = await outcomeOf(oauth2.tokenRefresh());
  await oauth2.revokeToken("refresh_token");
  const afterUninstall = await outcomeOf(oauth2.tokenRefresh());
  return {
    issued,
    refreshed,
    me: me.data,
    meByApiToken: meByApiToken.data,
    basePath: oauth2.basePath,
    outcomes: [afterAccessRevoked, refreshAfterAccessRevoked, afterUninstall],
  };
}

main(process.argv.slice(2)).then((seen) => console.log(JSON.stringify(seen)));
