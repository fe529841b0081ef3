function Get-SnapMirrorNameFinding {
    # Whether somebody else has a name that the installation takes; as Look of Get-SnapMirrorHostCheck gives it.
    [CmdletBinding()]
    [OutputType([hashtable])]
    param(
        [Parameter(Mandatory)] [hashtable] $Argument,
        [Parameter(Mandatory)] [AllowEmptyCollection()] [string[]] $Made,
        [Parameter(Mandatory)] [hashtable] $Kind
    )

    $wanted = (Get-SnapMirrorHostSetting -Argument $Argument)[$Kind.Setting]
    if ($Kind['Step'] -and $Made -contains $Kind['Step']) {
        return
    }
    if (@(& $Kind.All) -contains $wanted) {
        @{ Bad = "There is $($Kind.Kind) $wanted already, which is not of Install-SnapMirror."; Remedy = $Kind.Remedy }
    }
}
