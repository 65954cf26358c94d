// An Azure Machine Learning workspace and what it needs, in one resource group: `nbops azure up` deploys it, and
// `nbops azure down` removes what carries its tags. Nothing here gives out a key: people, jobs and endpoints sign in.
targetScope = 'resourceGroup'

// ---------------------------------------------------------------------------------------------------------- parameters

@description('Begins every name: small letters and digits, a letter first; another one for each stage. `nbops azure up` makes one of the name of the project if there is none.')
@minLength(3)
@maxLength(9)
param prefix string

@description('The stage that this workspace serves. `nbops azure down` removes the resources of one stage and prefix.')
@allowed([
  'dev'
  'test'
  'prod'
])
param stage string

@description('Where everything lies.')
param location string = resourceGroup().location

@description('The name of the workspace. `nbops azure up` gives the one in the settings, if they name one.')
@minLength(3)
@maxLength(33)
param workspaceName string = 'mlw-${prefix}-${uniqueString(resourceGroup().id, prefix)}'

@description('Object id of the group, user or application that works in the workspace. Empty: whoever deploys.')
param peopleId string = ''

@description('Tags beside those by which `nbops azure down` finds what it may remove.')
param tags object = {}

@description('Days for which deleted blobs and containers can be restored.')
@minValue(7)
@maxValue(90)
param keepDeletedDays int = 7

@description('Days for which the deleted key vault can be restored, and keeps its name. Azure never changes it later.')
@minValue(7)
@maxValue(90)
param keepDeletedVaultDays int = 7

@description('Days for which logs are kept.')
@minValue(30)
@maxValue(730)
param keepLogsDays int = 30

@description('How often the data is stored: Standard_LRS in one building, Standard_ZRS in three.')
@allowed([
  'Standard_LRS'
  'Standard_ZRS'
])
param storageSku string = 'Standard_LRS'

@description('The size of the container registry, which is billed by the day.')
@allowed([
  'Basic'
  'Standard'
  'Premium'
])
param containerRegistrySku string = 'Basic'

@description('Name of an Azure ML registry to make, which several workspaces share. Empty: none.')
param registryName string = ''

@description('Name of a schedule that wakes when a new version of a dataset arrives. Empty: none.')
param wakeSchedule string = ''

@description('Whether the key vault is restored that was deleted under this name. `nbops azure up` says so itself.')
param recoverVault bool = false

// -------------------------------------------------------------------------------------------------- names, tags, roles

var suffix = uniqueString(resourceGroup().id, prefix)

var allTags = union(tags, {
  'nbops.managed-by': 'nbops azure up'
  'nbops.prefix': prefix
  'nbops.stage': stage
})

// No stage of its own: it stays when one of them is removed.
var registryTags = union(tags, {
  'nbops.managed-by': 'nbops azure up'
  'nbops.registry': registryName
})

// Built-in roles: the same ids in every subscription and cloud.
var roles = {
  'AcrPull': '7f951dda-4ed3-4680-a7ca-43fe172d538d'
  'AzureML Compute Operator': 'e503ece1-11d0-4e8e-8e2c-7a6c3bf38815'
  'AzureML Data Scientist': 'f6c7c914-8db3-469d-8ca1-694a8f32e121'
  'AzureML Registry User': '1823dd4f-9b8c-4ab6-ab4e-7397a3684615'
  'Managed Identity Operator': 'f1a07417-d97a-45cb-824c-7a7467783830'
  'Monitoring Reader': '43d0d8ad-25c7-4714-9337-8ba259a9fe05'
  'Storage Blob Data Contributor': 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  'Storage File Data Privileged Contributor': '69566ab7-960f-475b-8e7c-b3118f30c6bd'
  'Storage Queue Data Contributor': '974c5e8b-45b9-4653-ba55-5f855dd0fb88'
  'Storage Table Data Contributor': '0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3'
}

var workerId = empty(peopleId) ? deployer().objectId : peopleId

// Who gets roles. The workspace's own identity is not among them: Azure gives it its roles, and refuses them twice.
var principals = {
  jobs: jobsIdentity.properties.principalId
  people: workerId
}

// A new identity takes minutes to be known everywhere, unless its type is given.
var principalTypes = {
  jobs: 'ServicePrincipal'
  people: null
}

// What the name of an assignment is made of: it is known before anything is deployed, as Azure wants it.
var keys = {
  jobs: jobsIdentity.id
  people: workerId
}

var storageRoles = [
  { role: 'Storage Blob Data Contributor', who: 'jobs' }
  { role: 'Storage Queue Data Contributor', who: 'jobs' }
  { role: 'Storage Table Data Contributor', who: 'jobs' }
  { role: 'Storage File Data Privileged Contributor', who: 'jobs' }
  { role: 'Storage Blob Data Contributor', who: 'people' }
  { role: 'Storage File Data Privileged Contributor', who: 'people' }
]

var containerRegistryRoles = [
  { role: 'AcrPull', who: 'jobs' }
]

var workspaceRoles = [
  { role: 'AzureML Data Scientist', who: 'jobs' }
  { role: 'Monitoring Reader', who: 'jobs' }
  { role: 'AzureML Data Scientist', who: 'people' }
  { role: 'AzureML Compute Operator', who: 'people' }
  { role: 'Monitoring Reader', who: 'people' }
]

var insightsRoles = [
  { role: 'Monitoring Reader', who: 'people' }
]

var identityRoles = [
  { role: 'Managed Identity Operator', who: 'jobs' }
  { role: 'Managed Identity Operator', who: 'people' }
]

var registryRoles = empty(registryName) ? [] : [
  { role: 'AzureML Registry User', who: 'jobs' }
  { role: 'AzureML Registry User', who: 'people' }
]

// ---------------------------------------------------------------------------------------------------- data and secrets

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: 'st${prefix}${suffix}'
  location: location
  tags: allTags
  kind: 'StorageV2'
  sku: {
    name: storageSku
  }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: storage
  name: 'default'
  properties: {
    containerDeleteRetentionPolicy: {
      enabled: true
      days: keepDeletedDays
    }
    deleteRetentionPolicy: {
      enabled: true
      days: keepDeletedDays
    }
    // The workspace sets these rules for Studio; without them here, the next deployment would take them out.
    cors: {
      corsRules: [
        {
          allowedOrigins: [
            'https://mlworkspace.azure.ai'
            'https://ml.azure.com'
            'https://*.ml.azure.com'
          ]
          allowedMethods: [
            'GET'
            'HEAD'
            'PUT'
            'DELETE'
            'OPTIONS'
            'POST'
            'PATCH'
          ]
          allowedHeaders: [
            '*'
          ]
          exposedHeaders: [
            '*'
          ]
          maxAgeInSeconds: 1800
        }
      ]
    }
  }
}

// A vault that is restored has its days already.
var vaultMode = recoverVault ? { createMode: 'recover' } : { softDeleteRetentionInDays: keepDeletedVaultDays }

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: 'kv${prefix}${suffix}'
  location: location
  tags: allTags
  properties: union(
    {
      enablePurgeProtection: true
      enableRbacAuthorization: true
      enableSoftDelete: true
      sku: {
        family: 'A'
        name: 'standard'
      }
      tenantId: subscription().tenantId
    },
    vaultMode
  )
}

// ----------------------------------------------------------------------------------------------------- logs and images

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: 'log-${prefix}-${suffix}'
  location: location
  tags: allTags
  properties: {
    retentionInDays: keepLogsDays
    sku: {
      name: 'PerGB2018'
    }
  }
}

resource insights 'Microsoft.Insights/components@2020-02-02' = {
  name: 'appi-${prefix}-${suffix}'
  location: location
  tags: allTags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    IngestionMode: 'LogAnalytics'
    WorkspaceResourceId: logs.id
  }
}

resource containerRegistry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: 'cr${prefix}${suffix}'
  location: location
  tags: allTags
  sku: {
    name: containerRegistrySku
  }
  properties: {
    adminUserEnabled: false
  }
}

// ------------------------------------------------------------------------------------------------------- the workspace

resource jobsIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: 'id-${prefix}-${suffix}'
  location: location
  tags: allTags
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' = {
  name: workspaceName
  location: location
  tags: allTags
  kind: 'Default'
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    applicationInsights: insights.id
    containerRegistry: containerRegistry.id
    friendlyName: workspaceName
    keyVault: vault.id
    publicNetworkAccess: 'Enabled'
    storageAccount: storage.id
    systemDatastoresAuthMode: 'Identity'
  }
}

resource registry 'Microsoft.MachineLearningServices/registries@2024-10-01' = if (!empty(registryName)) {
  name: registryName
  location: location
  tags: registryTags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    regionDetails: [
      {
        location: location
        acrDetails: [
          {
            systemCreatedAcrAccount: {
              acrAccountSku: 'Premium'
            }
          }
        ]
        storageAccountDetails: [
          {
            systemCreatedStorageAccount: {
              allowBlobPublicAccess: false
              storageAccountHnsEnabled: false
              storageAccountType: 'Standard_LRS'
            }
          }
        ]
      }
    ]
  }
}

// ----------------------------------------------------------------------------------------------------- who may do what

resource onStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in storageRoles: {
  name: guid(storage.id, keys[each.who], each.role)
  scope: storage
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

resource onContainerRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in containerRegistryRoles: {
  name: guid(containerRegistry.id, keys[each.who], each.role)
  scope: containerRegistry
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

resource onWorkspace 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in workspaceRoles: {
  name: guid(workspace.id, keys[each.who], each.role)
  scope: workspace
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

resource onInsights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in insightsRoles: {
  name: guid(insights.id, keys[each.who], each.role)
  scope: insights
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

resource onIdentity 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in identityRoles: {
  name: guid(jobsIdentity.id, keys[each.who], each.role)
  scope: jobsIdentity
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

resource onRegistry 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for each in registryRoles: {
  name: guid(registry.id, keys[each.who], each.role)
  scope: registry
  properties: {
    principalId: principals[each.who]
    principalType: principalTypes[each.who]
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles[each.role])
  }
}]

// -------------------------------------------------------------------------------------- a new version wakes a schedule

module wake 'wake.bicep' = if (!empty(wakeSchedule)) {
  name: 'nbops-${stage}-${prefix}-wake'
  params: {
    location: location
    scheduleName: wakeSchedule
    storageName: storage.name
    suffix: '${prefix}-${suffix}'
    tags: allTags
    workspaceName: workspace.name
  }
}

// ------------------------------------------------------------------------------------------------------- what was made

output workspaceName string = workspace.name
output jobsIdentityId string = jobsIdentity.id
output jobsIdentityClientId string = jobsIdentity.properties.clientId
output registryName string = registryName
