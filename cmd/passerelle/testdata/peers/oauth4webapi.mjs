// A service that is written with oauth4webapi (npm), as its documentation says, and talks over standard input and output
// with the test: see openid-client.mjs.
import * as oauth from 'oauth4webapi'
import { createInterface } from 'node:readline/promises'
import { strict as assert } from 'node:assert'
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node.js 18

const [issuer, id, redirect, alg, details] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await lines.next()).value
const say = (what, value) => console.log(what + ' ' + (typeof value === 'string' ? value : JSON.stringify(value)))
const options = { [oauth.allowInsecureRequests]: true }

const pair = await oauth.generateKeyPair(alg)
const jwk = await crypto.subtle.exportKey('jwk', pair.publicKey)
say('keys', { keys: [{ ...jwk, kid: 'k1', use: 'sig', alg, ext: undefined, key_ops: undefined }] })
await read()

const as = await oauth.discoveryRequest(new URL(issuer), { ...options, algorithm: 'oauth2' }).then((r) => oauth.processDiscoveryResponse(new URL(issuer), r))
const client = { client_id: id, id_token_signed_response_alg: 'EdDSA' }
const auth = oauth.PrivateKeyJwt({ key: pair.privateKey, kid: 'k1' })
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(alg))

// retried does something again where the server wants its nonce, as every caller of this library does.
const retried = async (do_) => {
  try {
    return await do_()
  } catch (e) {
    if (oauth.isDPoPNonceError(e)) return await do_()
    throw e
  }
}

const verifier = oauth.generateRandomCodeVerifier()
const state = oauth.generateRandomState()
const nonce = oauth.generateRandomNonce()
const params = new URLSearchParams({ response_type: 'code', redirect_uri: redirect, scope: 'openid', code_challenge_method: 'S256',
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), state, nonce, authorization_details: details })
const { request_uri } = await retried(async () =>
  oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, auth, params, { ...options, DPoP })))
const to = new URL(as.authorization_endpoint)
to.searchParams.set('client_id', id)
to.searchParams.set('request_uri', request_uri)
say('open', to.href)

const back = oauth.validateAuthResponse(as, client, new URL(await read()), state)
const tokens = await retried(async () =>
  oauth.processAuthorizationCodeResponse(as, client, await oauth.authorizationCodeGrantRequest(as, client, auth, back, redirect, verifier, { ...options, DPoP }),
    { expectedNonce: nonce, requireIdToken: true }))
assert.equal(tokens.token_type, 'dpop')
say('granted', tokens.authorization_details)

const get = (token) => retried(() => oauth.protectedResourceRequest(token, 'GET', new URL(issuer + '/data/contacts'), undefined, null, { ...options, DPoP }))
say('contacts', (await (await get(tokens.access_token)).json()).records)

const about = await oauth.processIntrospectionResponse(as, client, await oauth.introspectionRequest(as, client, auth, tokens.access_token, options))
assert.equal(about.active, true)

const fresh = await retried(async () =>
  oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token, { ...options, DPoP })))
assert.equal((await get(fresh.access_token)).status, 200)
say('refreshed', '')

await read() // the person changes their mind
const error = await get(fresh.access_token).then(() => null, (e) => e)
assert.ok(error instanceof oauth.WWWAuthenticateChallengeError, String(error))
assert.equal(error.status, 401)
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, auth, fresh.access_token, options))
say('cut', '')
process.exit(0)
