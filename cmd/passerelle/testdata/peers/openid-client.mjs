// A service that is written with openid-client (npm), as its documentation says, and talks over standard input and
// output with the test: it prints its keys, then where the person goes; it reads where their browser came back to.
import * as client from 'openid-client'
import { createInterface } from 'node:readline/promises'
import { strict as assert } from 'node:assert'
import { webcrypto } from 'node:crypto'

globalThis.crypto ??= webcrypto // Node.js 18

const [issuer, id, redirect, alg, details] = process.argv.slice(2)
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const read = async () => (await lines.next()).value
const say = (what, value) => console.log(what + ' ' + (typeof value === 'string' ? value : JSON.stringify(value)))

const pair = await client.randomDPoPKeyPair(alg) // any pair of this algorithm does
const jwk = await crypto.subtle.exportKey('jwk', pair.publicKey)
say('keys', { keys: [{ ...jwk, kid: 'k1', use: 'sig', alg, ext: undefined, key_ops: undefined }] })
await read()

const config = await client.discovery(new URL(issuer), id, { id_token_signed_response_alg: 'EdDSA' },
  client.PrivateKeyJwt({ key: pair.privateKey, kid: 'k1' }), { execute: [client.allowInsecureRequests] })
const DPoP = client.getDPoPHandle(config, await client.randomDPoPKeyPair(alg))

const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const to = await client.buildAuthorizationUrlWithPAR(config, {
  redirect_uri: redirect, scope: 'openid', code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
  state, nonce, authorization_details: details,
}, { DPoP })
say('open', to.href)

const tokens = await client.authorizationCodeGrant(config, new URL(await read()),
  { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }, undefined, { DPoP })
assert.equal(tokens.token_type, 'dpop')
assert.ok(tokens.claims().sub)
say('granted', tokens.authorization_details)

const contacts = await client.fetchProtectedResource(config, tokens.access_token, new URL(issuer + '/data/contacts'), 'GET', null, undefined, { DPoP })
assert.equal(contacts.status, 200)
say('contacts', (await contacts.json()).records)

const about = await client.tokenIntrospection(config, tokens.access_token)
assert.equal(about.active, true)
assert.equal(about.grant_id, tokens.grant_id)

const fresh = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP })
assert.equal(fresh.refresh_token, undefined)
const again = await client.fetchProtectedResource(config, fresh.access_token, new URL(issuer + '/data/contacts'), 'GET', null, undefined, { DPoP })
assert.equal(again.status, 200)
say('refreshed', '')

await read() // the person changes their mind
const error = await client.fetchProtectedResource(config, fresh.access_token, new URL(issuer + '/data/contacts'), 'GET', null, undefined, { DPoP }).then(() => null, (e) => e)
assert.ok(error instanceof client.WWWAuthenticateChallengeError, String(error))
assert.equal(error.status, 401)
const refused = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP }).then(() => null, (e) => e)
assert.equal(refused.error, 'invalid_grant')
await client.tokenRevocation(config, fresh.access_token)
say('cut', '')
process.exit(0)
