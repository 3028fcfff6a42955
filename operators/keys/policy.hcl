# What a gateway may do in Vault. The mounts are "transit" and "secret" and the prefix is "passerelle": change all of
# them here if they have other names there.

# Keys that sign: make, read, rotate, retire and trim them. The parameters that are left out (exportable,
# allow_plaintext_backup, deletion_allowed and others) cannot be set: no private key can be got out of Vault.
path "transit/keys/passerelle-*" {
  capabilities = ["create", "read", "update"]
  allowed_parameters = {
    "type"                   = ["ed25519", "rsa-3072"]
    "min_encryption_version" = []
    "min_decryption_version" = []
    "min_available_version"  = []
  }
}

path "transit/sign/passerelle-*" {
  capabilities = ["update"]
}

# The list of the keys, the private age keys and the secrets. Only secrets can be destroyed.
path "secret/data/passerelle/*" {
  capabilities = ["create", "read", "update"]
}

path "secret/metadata/passerelle/secrets/*" {
  capabilities = ["delete"]
}

# The gateway's own token.
path "auth/token/lookup-self" {
  capabilities = ["read"]
}

path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/revoke-self" {
  capabilities = ["update"]
}
