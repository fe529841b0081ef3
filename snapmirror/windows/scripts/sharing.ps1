# What the SMB server does with the share, and who has the image open. Changes nothing. Needs an administrator.
# share: its name; path: where the image is.
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$p = $env:SNAPMIRROR_PARAMETERS | ConvertFrom-Json
$facts = @{}
$unknown = @{}

function Get-Fact {
    param([string]$Name, [scriptblock]$Ask)
    try {
        $facts[$Name] = & $Ask
    } catch {
        $unknown[$Name] = $_.ToString()
    }
}

Get-Fact 'server' {
    $server = Get-SmbServerConfiguration
    @{ encrypts = [bool]$server.EncryptData; smb1 = [bool]$server.EnableSMB1Protocol }
}
Get-Fact 'share_encrypts' {
    [bool](Get-SmbShare -Name $p.share).EncryptData
}
Get-Fact 'open' {
    Get-SmbOpenFile | Where-Object { $_.Path -eq $p.path } | ForEach-Object {
        @{ client = $_.ClientComputerName; user = $_.ClientUserName }
    }
}
Get-Fact 'sessions' {
    Get-SmbSession | ForEach-Object {
        @{ client = $_.ClientComputerName; dialect = [string]$_.Dialect }
    }
}
@{ facts = $facts; unknown = $unknown } | ConvertTo-Json -Compress -Depth 4
