<#
.SYNOPSIS
    Packs the module for the PowerShell Gallery: the folder that Publish-Module takes, without tests.
.DESCRIPTION
    Makes Destination\SnapMirror with what users need, tests its manifest, and loads it once in a process of its own. With
    a certificate, every file that PowerShell runs or shows is signed. What is there already must be an older pack, and is
    replaced.

    It publishes nothing: that is 'Publish-Module -Path Destination\SnapMirror -NuGetApiKey ...', or Publish-PSResource.
.PARAMETER Destination
    A folder; it is made.
.PARAMETER CertificateThumbprint
    A certificate for code in the store of this user or of the machine. Without it nothing is signed. Only Windows can sign.
.PARAMETER TimestampServer
    Who confirms when it was signed, so that the signature outlives the certificate.
.EXAMPLE
    .\pack-module.ps1 -Destination D:\Packed

    Makes D:\Packed\SnapMirror.
.EXAMPLE
    .\pack-module.ps1 -Destination D:\Packed -CertificateThumbprint 7F3C0B0B1E5D7E2C9A4D1B6E8F0A2C4E6D8B0F1A

    The same, signed.
.OUTPUTS
    System.IO.DirectoryInfo: the packed module.
#>
[CmdletBinding(SupportsShouldProcess)]
param(
    [Parameter(Mandatory, Position = 0)] [string] $Destination,
    [ValidatePattern('^[0-9A-Fa-f]{40}$')] [string] $CertificateThumbprint,
    [string] $TimestampServer = 'http://timestamp.digicert.com'
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$module = Join-Path -Path $PSScriptRoot -ChildPath 'SnapMirror'
$packed = Join-Path -Path $PSCmdlet.GetUnresolvedProviderPathFromPSPath($Destination) -ChildPath 'SnapMirror'

# What can fail, first.
$certificate = $null
if ($CertificateThumbprint) {
    if (-not (Get-Command -Name 'Set-AuthenticodeSignature' -ErrorAction Ignore)) {
        throw 'This PowerShell cannot sign: Set-AuthenticodeSignature is on Windows only. Pack there, or without -CertificateThumbprint.'
    }
    $certificate = Get-ChildItem -Path 'Cert:\CurrentUser\My', 'Cert:\LocalMachine\My' -CodeSigningCert |
        Where-Object { $_.Thumbprint -eq $CertificateThumbprint -and $_.HasPrivateKey } | Select-Object -First 1
    if (-not $certificate) {
        throw "There is no certificate for code with its private key and the thumbprint $CertificateThumbprint in Cert:\CurrentUser\My or Cert:\LocalMachine\My."
    }
}
$mistake = @()
$null = Test-ModuleManifest -Path (Join-Path $module 'SnapMirror.psd1') -WarningVariable mistake
if ($mistake) {
    throw "The manifest is not clean: $mistake"
}
if ((Test-Path -LiteralPath $packed) -and -not (Test-Path -LiteralPath (Join-Path $packed 'SnapMirror.psd1'))) {
    throw "$packed is there already, and is no packed module. Remove it, or take another -Destination."
}
if (-not $PSCmdlet.ShouldProcess($packed, 'pack the module')) {
    return
}

if (Test-Path -LiteralPath $packed) {
    Remove-Item -LiteralPath $packed -Recurse -Force
}
$null = New-Item -ItemType Directory -Path $packed -Force
foreach ($item in Get-ChildItem -LiteralPath $module | Where-Object { $_.Name -ne 'tests' }) {
    Copy-Item -LiteralPath $item.FullName -Destination $packed -Recurse
}
if ($certificate) {
    foreach ($file in Get-ChildItem -LiteralPath $packed -Recurse -File | Where-Object { '.ps1', '.psm1', '.psd1', '.ps1xml' -contains $_.Extension }) {
        $signed = Set-AuthenticodeSignature -LiteralPath $file.FullName -Certificate $certificate -HashAlgorithm 'SHA256' -TimestampServer $TimestampServer
        if ($signed.Status -ne 'Valid') {
            throw "$($file.FullName) could not be signed: $($signed.StatusMessage)"
        }
    }
}

# As who has installed it sees it, with nothing of this folder at hand.
$manifest = Test-ModuleManifest -Path (Join-Path $packed 'SnapMirror.psd1')
$look = {
    param($Path)
    Import-Module -Name $Path -ErrorAction Stop
    (Get-Command -Module 'SnapMirror').Name
}
$job = Start-Job -ScriptBlock $look -ArgumentList (Join-Path $packed 'SnapMirror.psd1')
$there = @(Receive-Job -Job $job -Wait -AutoRemoveJob)
$missing = @($manifest.ExportedFunctions.Keys | Where-Object { $there -notcontains $_ })
if ($missing) {
    throw "The packed module does not have $($missing -join ', ')."
}
Get-Item -LiteralPath $packed
