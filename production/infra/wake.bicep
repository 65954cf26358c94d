// Wakes a schedule when `nbops data push` has written the last file of a version. Event Grid calls the Logic App, which
// waits until the version is registered; the schedule looks by itself whether there is something new.
targetScope = 'resourceGroup'

@description('The end of every name.')
param suffix string

@description('Where everything lies.')
param location string

@description('The tags of every resource.')
param tags object

@description('The storage account of the workspace.')
param storageName string

@description('The workspace with the schedule.')
param workspaceName string

@description('The schedule to wake.')
param scheduleName string

resource storage 'Microsoft.Storage/storageAccounts@2023-05-01' existing = {
  name: storageName
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2025-12-01' existing = {
  name: workspaceName
}

resource app 'Microsoft.Logic/workflows@2019-05-01' = {
  name: 'logic-${suffix}'
  location: location
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    state: 'Enabled'
    definition: {
      '$schema': 'https://schema.management.azure.com/providers/Microsoft.Logic/schemas/2016-06-01/workflowdefinition.json#'
      contentVersion: '1.0.0.0'
      triggers: {
        newVersion: {
          type: 'Request'
          kind: 'Http'
          inputs: {
            schema: {}
          }
          runtimeConfiguration: {
            concurrency: {
              runs: 1
            }
          }
        }
      }
      actions: {
        await: {
          type: 'Wait'
          inputs: {
            interval: {
              count: 5
              unit: 'Minute'
            }
          }
          runAfter: {}
        }
        wake: {
          type: 'Http'
          inputs: {
            method: 'POST'
            uri: '${environment().resourceManager}${substring(workspace.id, 1)}/schedules/${scheduleName}/trigger?api-version=2024-01-01-preview'
            body: {
              scheduleTime: '@{utcNow()}'
            }
            authentication: {
              type: 'ManagedServiceIdentity'
              audience: environment().resourceManager
            }
          }
          runAfter: {
            await: [
              'Succeeded'
            ]
          }
        }
      }
    }
  }
}

resource request 'Microsoft.Logic/workflows/triggers@2019-05-01' existing = {
  parent: app
  name: 'newVersion'
}

// AzureML Data Scientist: no narrower built-in role may wake a schedule.
resource onWorkspace 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(workspace.id, app.id, 'AzureML Data Scientist')
  scope: workspace
  properties: {
    principalId: app.identity.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId(
      'Microsoft.Authorization/roleDefinitions',
      'f6c7c914-8db3-469d-8ca1-694a8f32e121'
    )
  }
}

// On the account itself: Azure makes the topic, or takes the one that Defender has made. There can be only one.
resource newVersion 'Microsoft.EventGrid/eventSubscriptions@2022-06-15' = {
  name: 'nbops-new-version'
  scope: storage
  properties: {
    destination: {
      endpointType: 'WebHook'
      properties: {
        endpointUrl: request.listCallbackUrl().value
      }
    }
    eventDeliverySchema: 'EventGridSchema'
    filter: {
      includedEventTypes: [
        'Microsoft.Storage.BlobCreated'
      ]
      subjectBeginsWith: '/blobServices/default/containers/azureml-blobstore-${workspace.properties.workspaceId}/blobs/nbops/datasets/'
      subjectEndsWith: '/dataset.toml'
    }
  }
}
