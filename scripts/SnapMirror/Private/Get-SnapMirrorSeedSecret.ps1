function Get-SnapMirrorSeedSecret {
    # The secrets of the seed: how they are called there, and in our own folder, the one place on this host that keeps them.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param()

    @{ 'smb.cred' = 'smb.cred'; 'image.key' = 'image.key'; 'id_ed25519' = 'id_server'; 'ssh_host_ed25519_key' = 'ssh_host_ed25519_key' }
}
