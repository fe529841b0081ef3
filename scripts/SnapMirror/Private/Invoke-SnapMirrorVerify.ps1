function Invoke-SnapMirrorVerify {
    # Run 'verify' in the VM, which may take hours, and give its exit code and, for each mirror, what it has found.
    [CmdletBinding()]
    [OutputType([psobject])]
    param(
        [Parameter(Mandatory)] [string] $Activity,
        [string[]] $Id = @(),
        [string] $Mirror,
        [switch] $Full,
        [switch] $Found,
        [switch] $Heal
    )

    $word = @('verify', '--json')
    if ($Full) {
        $word += '--full'
    }
    if ($Found) {
        $word += '--found'
    }
    if ($Heal) {
        $word += '--heal'
    }
    if ($Mirror) {
        $word += '--mirror', $Mirror
    }
    $ConfirmPreference = 'None' # whoever calls this has asked
    Set-SnapMirrorAwake -Awake $true
    try {
        Start-SnapMirrorVM
        $answer = Invoke-SnapMirrorCommand -Word ($word + '--' + $Id) -Activity $Activity
    } finally {
        Set-SnapMirrorAwake -Awake $false
    }
    $seen = @(foreach ($one in $answer.Output) { $one.Mirrors })
    New-Object -TypeName psobject -Property @{ ExitCode = $answer.ExitCode; Output = $seen; Said = $answer.Said }
}
